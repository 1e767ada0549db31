//! Subjects: the file systems that are measured. All show the same stack of layers. Each is served by a process of its
//! own, except the plain directory and the kernel's overlayfs.

use std::path::PathBuf;

/// A file system that can be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Unique among the subjects of a run.
    pub name: String,
    /// The version that it reports.
    pub version: String,
    /// How it is mounted.
    pub kind: Kind,
}

/// How a subject shows a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Kind {
    /// A plain directory that holds the merged tree.
    Native,
    /// The kernel's own overlayfs.
    Overlayfs,
    /// A program with the command line of fuse-overlayfs: `PROGRAM -o lowerdir=…,upperdir=…,workdir=…[,options] DIR`.
    Program { program: PathBuf, options: String },
    /// A program with the command line of unionfs-fuse: `PROGRAM -o cow,… UPPER=RW:LOWER=RO:… DIR`.
    Unionfs { program: PathBuf },
}

/// The paths of a stack's layers and of its mount point. All are relative to the directory that holds the layers, so
/// that hundreds of them fit into one page of mount options and none needs escaping.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub lowers: String,
    pub upper: &'static str,
    pub work: &'static str,
    pub at: &'static str,
}

impl Stack {
    pub(super) fn of(layers: u32) -> Stack {
        let lowers = (0..layers).map(|n| n.to_string()).collect::<Vec<_>>().join(":");
        Stack { lowers, upper: "../run/upper", work: "../run/work", at: "../run/at" }
    }

    /// The layers as mount options of overlayfs, which programs with [`Kind::Program`] take too.
    pub(super) fn options(&self) -> String {
        format!("lowerdir={},upperdir={},workdir={}", self.lowers, self.upper, self.work)
    }
}

impl Subject {
    /// The subject that is a plain directory.
    pub fn native() -> Subject {
        Subject { name: "native".into(), version: String::new(), kind: Kind::Native }
    }

    /// The program and the arguments that mount `stack`; `None` if no program is needed.
    pub(super) fn command_line(&self, stack: &Stack, user: User) -> Option<(PathBuf, Vec<String>)> {
        match &self.kind {
            Kind::Native | Kind::Overlayfs => None,
            Kind::Program { program, options } => {
                let mut all = stack.options();
                if !options.is_empty() {
                    all = format!("{all},{options}");
                }
                Some((program.clone(), vec!["-o".into(), all, stack.at.into()]))
            }
            Kind::Unionfs { program } => {
                let lowers: String = stack.lowers.split(':').map(|layer| format!(":{layer}=RO")).collect();
                let others = if user == User::Ordinary { "" } else { ",allow_other,suid,dev" };
                let options = format!("cow,use_ino{others}");
                Some((
                    program.clone(),
                    vec!["-o".into(), options, format!("{}=RW{lowers}", stack.upper), stack.at.into()],
                ))
            }
        }
    }

    /// How it is mounted, in one line for readers.
    pub fn mounted(&self, user: User) -> String {
        let few = Stack { lowers: "…".into(), upper: "…", work: "…", at: "DIR" };
        match (&self.kind, self.command_line(&few, user)) {
            (_, Some((program, arguments))) => format!("{} {}", program.display(), arguments.join(" ")),
            (Kind::Overlayfs, _) => {
                let marks = if user == User::Root { "" } else { ",userxattr" };
                format!("mount -t overlay overlay -o {}{marks} DIR", few.options())
            }
            _ => "a directory with a copy of the merged tree".into(),
        }
    }
}

/// The user that measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Root of the host.
    Root,
    /// Root of a user namespace.
    InNamespace,
    /// An unprivileged user, who can mount only through fusermount3.
    Ordinary,
}

impl User {
    /// The user in words, as in [`Method::user`](super::result::Method::user).
    pub fn name(self) -> &'static str {
        match self {
            User::Root => "root",
            User::InNamespace => "root of a user namespace",
            User::Ordinary => "an ordinary user",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_right_for_each_kind_of_program() {
        let subject = |kind| Subject { name: "x".into(), version: String::new(), kind };
        let program = |options: &str| subject(Kind::Program { program: "/p".into(), options: options.into() });
        let unionfs = subject(Kind::Unionfs { program: "/u".into() });
        let native = Subject::native();
        for (subject, user, line) in [
            (&program(""), User::Root, "/p -o lowerdir=…,upperdir=…,workdir=… DIR"),
            (&program("a,b=1"), User::Root, "/p -o lowerdir=…,upperdir=…,workdir=…,a,b=1 DIR"),
            (&unionfs, User::Root, "/u -o cow,use_ino,allow_other,suid,dev …=RW:…=RO DIR"),
            (&unionfs, User::Ordinary, "/u -o cow,use_ino …=RW:…=RO DIR"),
            (&native, User::Root, "a directory with a copy of the merged tree"),
        ] {
            assert_eq!(subject.mounted(user), line);
        }
        assert_eq!(Stack::of(3).options(), "lowerdir=0:1:2,upperdir=../run/upper,workdir=../run/work");
    }
}
