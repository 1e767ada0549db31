//! File system calls of real programs without the programs: those of git, a package manager, SQLite and a compiler, in
//! the same order and number, without the programs' computing.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::clock::{Clock, Part};
use super::super::tree::{Tree, mix};
use super::lookup::read_one;
use super::metadata::write_new;
use super::walk::{Depth, walk};
use super::{Scale, Session, When, Workload, of};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "unpack",
        group: "small-files",
        about: "write a tree of small files, as tar x does, and read it back",
        rows: &[
            ("unpack-tree", "make the directories; make, write, chmod and close each file"),
            ("read-back-tree", "list, lstat and read all of it"),
        ],
        when: When::Default,
        sessions: |scale| mix_of(scale, unpack),
    },
    Workload {
        name: "git",
        group: "mixes",
        about: "what git add, commit and status do in a lower working tree",
        rows: &[
            ("git-add", "read each file, write an object for it by a temporary name and a link, then the index"),
            ("git-status", "lstat each file of the index, list each directory"),
        ],
        when: When::Quick,
        sessions: |scale| mix_of(scale, git),
    },
    Workload {
        name: "package-install",
        group: "mixes",
        about: "what dpkg does for a package of 200 files over lower ones",
        rows: &[("package-install", "write each file beside its old one, sync it, rename it over; then the database")],
        when: When::Default,
        sessions: |scale| mix_of(scale, package_install),
    },
    Workload {
        name: "sqlite",
        group: "mixes",
        about: "what SQLite does for transactions on a database in a lower layer, with a rollback journal",
        rows: &[("sqlite-transaction", "make the journal, save pages, sync, write pages, sync, remove the journal")],
        when: When::Quick,
        sessions: |scale| {
            let (layers, size) = (scale.layers, 1 << 20);
            vec![Session::changes(Tree::Large { layers, sizes: vec![size] }, 4 * size, move |clock| {
                sqlite(clock, size)
            })]
        },
    },
    Workload {
        name: "compile",
        group: "mixes",
        about: "what a compiler and make do: look for headers along a path, read them, write objects",
        rows: &[
            ("compile", "for each source: 40 headers looked for in four directories, read, and one object written"),
            ("make-again", "lstat of each source and object"),
        ],
        when: When::Quick,
        sessions: |scale| mix_of(scale, compile),
    },
];

struct Mix {
    layers: u32,
    files: u64,
    names: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
}

impl Mix {
    fn part(&self, row: &str) -> Part {
        Part::new(row, of(self.layers, self.files))
    }
}

fn mix_of(scale: &Scale, work: fn(&mut Clock<'_>, &Mix) -> io::Result<()>) -> Vec<Session> {
    let (layers, files) = (scale.layers, scale.files.min(2000));
    let tree = Tree::Image { layers, files };
    let writes = tree.bytes() * 2 + (64 << 20);
    let mix = Mix { layers, files, names: tree.files(), dirs: tree.directories() };
    vec![Session::changes(tree, writes, move |clock| work(clock, &mix))]
}

fn unpack(clock: &mut Clock<'_>, mix: &Mix) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let to = clock.path("unpacked");
    let content = vec![0x5a; 16 << 10];
    let mut sorted = mix.names.clone();
    sorted.sort();
    clock.time(mix.part("unpack-tree"), || {
        mix.dirs.iter().try_for_each(|dir| fs::create_dir_all(to.join(dir)))?;
        for (n, name) in sorted.iter().enumerate() {
            let mut file = File::options().write(true).create_new(true).open(to.join(name))?;
            file.write_all(&content[..512 << (n % 6)])?;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    })?;
    clock.time(mix.part("read-back-tree"), || walk(&to, Depth::Contents)).map(drop)
}

fn git(clock: &mut Clock<'_>, mix: &Mix) -> io::Result<()> {
    let root = clock.root().to_path_buf();
    let git = root.join(".git");
    fs::create_dir_all(git.join("objects"))?;
    let mut buffer = vec![0; 64 << 10];
    clock.time(mix.part("git-add"), || {
        for (n, name) in mix.names.iter().enumerate() {
            let size = read_one(&root.join(name), &mut buffer)?;
            let id = mix_id(n as u64);
            let dir = git.join("objects").join(&id[..2]);
            let object = dir.join(&id[2..]);
            if exists(&object)? {
                continue;
            }
            if let Err(error) = fs::create_dir(&dir)
                && error.kind() != ErrorKind::AlreadyExists
            {
                return Err(error);
            }
            let temporary = dir.join(format!("tmp_obj_{n}"));
            // Compressed by half.
            write_new(&temporary, &buffer[..size as usize / 2])?;
            fs::hard_link(&temporary, &object)?;
            fs::remove_file(&temporary)?;
        }
        replace(&git.join("index"), &vec![0x5a; mix.names.len() * 100], Sync::No)
    })?;
    clock.time(mix.part("git-status"), || {
        let mut index = Vec::new();
        io::Read::read_to_end(&mut File::open(git.join("index"))?, &mut index)?;
        mix.names.iter().try_for_each(|name| fs::symlink_metadata(root.join(name)).map(drop))?;
        for dir in &mix.dirs {
            for entry in fs::read_dir(root.join(dir))? {
                entry?.file_type()?;
            }
            exists(&root.join(dir).join(".gitignore"))?;
        }
        Ok(())
    })
}

fn package_install(clock: &mut Clock<'_>, mix: &Mix) -> io::Result<()> {
    let root = clock.root().to_path_buf();
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info)?;
    let status = root.join("var/lib/dpkg/status");
    fs::write(&status, vec![0x5a; 200 << 10])?;
    let names = &mix.names[..mix.names.len().min(200)];
    clock.time(mix.part("package-install"), || {
        for name in names {
            let path = root.join(name);
            fs::symlink_metadata(&path)?;
            let new = path.with_extension("dpkg-new");
            let mut file = File::options().write(true).create_new(true).open(&new)?;
            file.write_all(&[0x5a; 8192])?;
        }
        for name in names {
            let path = root.join(name);
            let (old, new) = (path.with_extension("dpkg-tmp"), path.with_extension("dpkg-new"));
            File::open(&new)?.sync_all()?;
            fs::hard_link(&path, &old)?;
            fs::rename(&new, &path)?;
            fs::remove_file(&old)?;
        }
        for file in ["list", "md5sums", "postinst"] {
            replace(&info.join(format!("package.{file}")), &[0x5a; 8192], Sync::Yes)?;
        }
        // Three states of the package: unpacked, half-configured, installed.
        (0..3).try_for_each(|_| replace(&status, &vec![0x5a; 200 << 10], Sync::Yes))
    })
}

fn sqlite(clock: &mut Clock<'_>, size: u64) -> io::Result<()> {
    const PAGE: u64 = 4096;
    const TRANSACTIONS: usize = 30;
    const PAGES: u64 = 8;
    let database = clock.path(format!("large/{size}"));
    let journal = database.with_extension("journal");
    let mut page = [0; PAGE as usize];
    let parameters = super::Parameters { size: Some(size), ..super::Parameters::default() };
    let part = Part::new("sqlite-transaction", parameters).operations(TRANSACTIONS);
    let changed = TRANSACTIONS as u64 * PAGES * PAGE;
    clock.each(part.changed(changed), 0..TRANSACTIONS, |n| {
        let file = File::options().read(true).write(true).open(&database)?;
        if exists(&journal)? {
            return Err(io::Error::other("a journal is left"));
        }
        let offsets: Vec<u64> = (0..PAGES).map(|p| mix((n as u64) << 8 | p) % (size / PAGE) * PAGE).collect();
        let mut save = File::options().write(true).create_new(true).open(&journal)?;
        save.write_all(&[0; 512])?;
        for offset in &offsets {
            file.read_exact_at(&mut page, *offset)?;
            save.write_all(&page)?;
        }
        save.sync_data()?;
        for offset in &offsets {
            file.write_all_at(&page, *offset)?;
        }
        file.sync_data()?;
        drop(save);
        fs::remove_file(&journal)
    })
}

fn compile(clock: &mut Clock<'_>, mix: &Mix) -> io::Result<()> {
    const HEADERS: usize = 40;
    let root = clock.root().to_path_buf();
    let objects = root.join("build");
    fs::create_dir(&objects)?;
    // Every tenth file is a source; any file may be a header.
    let sources: Vec<&PathBuf> = mix.names.iter().step_by(10).collect();
    let mut buffer = vec![0; 64 << 10];
    clock.time(mix.part("compile"), || {
        for (n, source) in sources.iter().enumerate() {
            read_one(&root.join(source), &mut buffer)?;
            for h in 0..HEADERS {
                // The headers are a fifth of the files, so that many sources read the same ones.
                let header =
                    &mix.names[(mix_number(n as u64, h as u64) % (mix.names.len() as u64 / 5).max(1)) as usize];
                let name = header.file_name().unwrap_or_default();
                for dir in mix.dirs.iter().take(3) {
                    exists(&root.join(dir).join(name))?;
                }
                read_one(&root.join(header), &mut buffer)?;
            }
            write_new(&objects.join(format!("{n}.o")), &buffer[..32 << 10])?;
        }
        let mut linked = File::create(objects.join("program"))?;
        for n in 0..sources.len() {
            let size = read_one(&objects.join(format!("{n}.o")), &mut buffer)?;
            linked.write_all(&buffer[..size as usize])?;
        }
        Ok(())
    })?;
    clock.time(mix.part("make-again"), || {
        for (n, source) in sources.iter().enumerate() {
            fs::symlink_metadata(root.join(source))?;
            fs::symlink_metadata(objects.join(format!("{n}.o")))?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}

/// Replaces a file safely: writes a new file beside it and renames that over it.
fn replace(path: &Path, content: &[u8], sync: Sync) -> io::Result<()> {
    let lock = path.with_extension("lock");
    let mut file = File::options().write(true).create_new(true).open(&lock)?;
    file.write_all(content)?;
    if sync == Sync::Yes {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&lock, path)
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A made-up object ID in place of a digest.
fn mix_id(n: u64) -> String {
    format!("{:016x}{:016x}", mix(n), mix(!n))
}

fn mix_number(n: u64, h: u64) -> u64 {
    mix(n << 16 | h)
}
