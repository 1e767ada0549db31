//! What Overfuse does beyond plain copy-up, each to be turned on when it can.

/// Directories that exist below can be renamed.
pub const RENAMES_BELOW: bool = false;
/// The names of one lower file stay one file when it changes.
pub const LINKS_SURVIVE: bool = false;
/// Inode numbers stay the same over copy-up, rename and remount.
pub const NUMBERS_STAY: bool = false;

/// What the kernel has to be told to do the same.
pub const KERNEL_AS_ROOT: &str = if RENAMES_BELOW {
    "index=on,redirect_dir=on,metacopy=on,xino=on"
} else {
    "index=off,redirect_dir=off,metacopy=off,xino=on"
};
