//! The trees that are measured. They are made from fixed seeds, so that every run measures the same trees.
//!
//! ```text
//! tree/0 … tree/N-1   the layers, topmost first
//! tree/merged         the merged tree, on which the subject `native` is measured
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::layer::whiteout;
use crate::sys::{Dir, Name};

use super::program;

/// The number of files in one directory of a [`Tree::Image`].
const IN_A_DIRECTORY: u64 = 40;
/// The number of directories in one of its top directories.
const IN_A_TOP: u64 = 25;
/// The path of the program in an image.
pub const PROGRAM: &str = "bin/true";

/// The shape of a stack of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Tree {
    /// Many small files in many directories, like an image: most of a directory's files are in one layer, the others in
    /// any layer. One file in twenty replaces a lower one; for one in fifty a whiteout removes another lower file.
    Image { layers: u32, files: u64 },
    /// One directory, `wide`, whose names come from all layers in turn.
    Wide { layers: u32, files: u64 },
    /// A file of each size in the bottom layer, `large/SIZE`, and one small file in every layer.
    Large { layers: u32, sizes: Vec<u64> },
}

impl Tree {
    /// How many lower layers the tree has.
    pub fn layers(&self) -> u32 {
        match self {
            Tree::Image { layers, .. } | Tree::Wide { layers, .. } | Tree::Large { layers, .. } => (*layers).max(1),
        }
    }

    /// About how many bytes the merged tree takes on disk.
    pub fn bytes(&self) -> u64 {
        match self {
            // The mean of the sizes, in whole blocks, and the inode.
            Tree::Image { files, .. } => files * 8 * 1024 + (1 << 20),
            Tree::Wide { files, .. } => files * 512 + (1 << 20),
            Tree::Large { sizes, .. } => sizes.iter().sum::<u64>() + (1 << 20),
        }
    }

    /// About how many inodes the merged tree takes.
    pub fn inodes(&self) -> u64 {
        match self {
            Tree::Image { files, .. } => files + files / IN_A_DIRECTORY * 2,
            Tree::Wide { files, .. } => *files,
            Tree::Large { sizes, .. } => sizes.len() as u64,
        }
    }

    /// The regular files of the merged tree, relative to its root: of a large tree in the order of `sizes`, of others
    /// shuffled.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Tree::Image { files, .. } => shuffled((0..*files).map(image_file).collect()),
            Tree::Wide { files, .. } => shuffled((0..*files).map(wide_file).collect()),
            Tree::Large { sizes, .. } => sizes.iter().map(|size| large_file(*size)).collect(),
        }
    }

    /// As many names as there are files, in the same directories, that do not exist.
    pub fn missing(&self) -> Vec<PathBuf> {
        self.files().into_iter().map(|file| file.with_extension("none")).collect()
    }

    /// The directories that hold the files, sorted.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> =
            self.files().iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// Makes the layers and the merged tree in `at`, an empty directory.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn build(&self, at: &Path) -> io::Result<()> {
        let mut layers: Vec<Layer> = (0..self.layers()).map(|n| Layer::at(at.join(n.to_string()))).collect();
        layers.push(Layer::at(at.join("merged")));
        for layer in &mut layers {
            layer.dir(Path::new(""))?;
        }
        let Some((merged, layers)) = layers.split_last_mut() else { return Ok(()) };
        match self {
            Tree::Image { files, .. } => image(*files, layers, merged),
            Tree::Wide { files, .. } => (0..*files).try_for_each(|n| {
                let file = wide_file(n);
                layers[(n % layers.len() as u64) as usize].file(&file, 0, n)?;
                merged.file(&file, 0, n)
            }),
            Tree::Large { sizes, .. } => {
                for (n, layer) in layers.iter_mut().enumerate() {
                    let file = PathBuf::from(format!("layer{n}"));
                    layer.file(&file, 100, n as u64)?;
                    merged.file(&file, 100, n as u64)?;
                }
                let Some(bottom) = layers.last_mut() else { return Ok(()) };
                for size in sizes {
                    bottom.file(&large_file(*size), *size, *size)?;
                    merged.file(&large_file(*size), *size, *size)?;
                }
                Ok(())
            }
        }
    }
}

fn image_file(n: u64) -> PathBuf {
    let dir = n / IN_A_DIRECTORY;
    format!("top{:02}/directory{dir:04}/file{n:06}.dat", dir / IN_A_TOP).into()
}

fn wide_file(n: u64) -> PathBuf {
    format!("wide/name{n:06}").into()
}

fn large_file(size: u64) -> PathBuf {
    format!("large/{size}").into()
}

fn image(files: u64, layers: &mut [Layer], merged: &mut Layer) -> io::Result<()> {
    let count = layers.len() as u64;
    for n in 0..files {
        let file = image_file(n);
        let home = mix(n / IN_A_DIRECTORY) % count;
        let layer = if mix(n).is_multiple_of(5) { mix(n ^ 0x5a5a) % count } else { home };
        let size = 512u64 << (mix(n ^ 0xa5a5) % 6);
        layers[layer as usize].file(&file, size, n)?;
        merged.file(&file, size, n)?;
        let below = count - 1 - layer;
        if below > 0 && mix(n ^ 0x1111).is_multiple_of(20) {
            layers[(layer + 1 + mix(n ^ 0x2222) % below) as usize].file(&file, size, n ^ 1)?;
        }
        if below > 0 && mix(n ^ 0x3333).is_multiple_of(50) {
            let gone = file.with_extension("old");
            layers[(layer + 1 + mix(n ^ 0x4444) % below) as usize].file(&gone, size, n)?;
            layers[layer as usize].whiteout(&gone)?;
        }
    }
    let Some(bottom) = layers.last_mut() else { return Ok(()) };
    bottom.program()?;
    merged.program()
}

/// One layer or the merged tree, while it is being made.
struct Layer {
    root: PathBuf,
    made: HashSet<PathBuf>,
}

impl Layer {
    fn at(root: PathBuf) -> Layer {
        Layer { root, made: HashSet::new() }
    }

    fn dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.made.contains(dir) {
            fs::create_dir_all(self.root.join(dir))?;
            self.made.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn file(&mut self, file: &Path, size: u64, seed: u64) -> io::Result<()> {
        self.dir(file.parent().unwrap_or(Path::new("")))?;
        fill(&mut File::create(self.root.join(file))?, size, seed)
    }

    fn whiteout(&mut self, gone: &Path) -> io::Result<()> {
        self.dir(gone.parent().unwrap_or(Path::new("")))?;
        let (Some(dir), Some(name)) = (gone.parent(), gone.file_name()) else { return Ok(()) };
        let dir = Dir::open_host(&self.root.join(dir))?;
        Ok(whiteout::create(&dir, Name::new(name)?)?)
    }

    fn program(&mut self) -> io::Result<()> {
        let Some(bytes) = program::that_ends_at_once() else { return Ok(()) };
        self.dir(Path::new("bin"))?;
        let path = self.root.join(PROGRAM);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    }
}

/// Writes `size` random bytes, which a file system cannot compress.
///
/// # Errors
/// As `write(2)`.
pub fn fill(file: &mut impl Write, size: u64, seed: u64) -> io::Result<()> {
    const PIECE: usize = 1 << 20;
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE)).next_multiple_of(8)];
    fastrand::Rng::with_seed(seed).fill(&mut piece);
    let mut left = size;
    let mut count = 0u64;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if let Some(first) = piece.get_mut(..8) {
            first.copy_from_slice(&mix(seed ^ !count).to_le_bytes());
        }
        file.write_all(&piece[..len])?;
        left -= len as u64;
        count += 1;
    }
    Ok(())
}

/// Reads every file below `dir` to its end, so that its pages are cached.
///
/// # Errors
/// The error of the file system.
pub fn read_all(dir: &Path) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                let mut file = File::open(entry.path())?;
                while file.read(&mut buffer)? > 0 {}
            }
        }
    }
    Ok(())
}

/// Bytes that everything below `dir` takes on disk.
///
/// # Errors
/// The error of the file system.
pub fn allocated(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            sum += entry.metadata()?.blocks() * 512;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(sum)
}

/// A pseudo-random number that depends on `n` alone, so that all runs have the same tree.
pub fn mix(n: u64) -> u64 {
    fastrand::Rng::with_seed(n).u64(..)
}

fn shuffled<T>(mut list: Vec<T>) -> Vec<T> {
    fastrand::Rng::with_seed(0).shuffle(&mut list);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_files(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![dir.to_path_buf()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).expect("list") {
                let entry = entry.expect("list");
                if entry.file_type().expect("a type").is_dir() {
                    todo.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(dir).expect("below").to_path_buf());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_merged_tree_is_what_the_layers_show() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = Tree::Image { layers: 4, files: 500 };
        tree.build(dir.path()).expect("build");
        let mut expected = tree.files();
        expected.push(PROGRAM.into());
        expected.sort();
        if program::that_ends_at_once().is_some() {
            assert_eq!(all_files(&dir.path().join("merged")), expected);
        }
        let mut replaced = 0;
        for file in tree.files() {
            let layers: Vec<_> = (0..4).map(|n| dir.path().join(n.to_string()).join(&file)).collect();
            let top = layers.iter().find(|path| path.exists()).expect("in a layer");
            assert_eq!(fs::read(top).expect("read"), fs::read(dir.path().join("merged").join(&file)).expect("read"));
            replaced += usize::from(layers.iter().filter(|path| path.exists()).count() > 1);
        }
        let whiteouts = (0..4)
            .flat_map(|n| all_files(&dir.path().join(n.to_string())))
            .filter(|file| file.extension().is_some_and(|extension| extension == "old"));
        assert!(replaced > 5 && whiteouts.count() > 5, "{replaced}");
        assert!(tree.missing().iter().all(|gone| !dir.path().join("merged").join(gone).exists()));
        assert_eq!(tree.directories().len(), 13);
    }

    #[test]
    fn a_tree_is_the_same_each_time() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        for tree in [Tree::Wide { layers: 3, files: 20 }, Tree::Large { layers: 2, sizes: vec![0, 1, 3 << 20] }] {
            for dir in &dirs {
                tree.build(&dir.path().join(tree.layers().to_string())).expect("build");
            }
        }
        let [first, second] = dirs.each_ref().map(|dir| {
            let files = all_files(dir.path());
            let contents: Vec<Vec<u8>> = files.iter().map(|f| fs::read(dir.path().join(f)).expect("read")).collect();
            (files, contents)
        });
        assert!(first == second);
        assert!(first.1.iter().any(|content| content.len() == 3 << 20));
    }
}
