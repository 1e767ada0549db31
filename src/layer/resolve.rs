//! Resolution: combines the verdicts of all layers on one name. Does no I/O.

use crate::sys::Result;

use super::{Found, Verdict};

/// What a name is in the union. `P` is the place where an entry was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution<P> {
    /// No layer has it.
    Missing,
    /// One layer decides: a file, or nothing below it is merged.
    Leaf(P, Found),
    /// The directories that merge, newest first; never empty.
    Dir(Vec<(P, Found)>),
}

impl<P> Resolution<P> {
    /// The newest part, which decides what the name is.
    pub fn top(&self) -> Option<(&P, &Found)> {
        match self {
            Resolution::Missing => None,
            Resolution::Leaf(part, found) => Some((part, found)),
            Resolution::Dir(parts) => parts.first().map(|(part, found)| (part, found)),
        }
    }
}

/// The newest layer with a verdict other than [`Verdict::Nothing`] decides. Directories merge down to an opaque one, a
/// whiteout or a file. Takes no more verdicts than it needs.
///
/// # Errors
/// The first error among the verdicts it needs.
pub fn resolve<P>(verdicts: impl IntoIterator<Item = Result<(P, Verdict)>>) -> Result<Resolution<P>> {
    let mut merged = Vec::new();
    for verdict in verdicts {
        match verdict? {
            (_, Verdict::Nothing) => {}
            (_, Verdict::Whiteout) => break,
            (place, Verdict::Entry(found)) if found.is_dir() => {
                let stop = found.opaque;
                merged.push((place, found));
                if stop {
                    break;
                }
            }
            (place, Verdict::Entry(found)) if merged.is_empty() => return Ok(Resolution::Leaf(place, found)),
            (_, Verdict::Entry(_)) => break,
        }
    }
    Ok(if merged.is_empty() { Resolution::Missing } else { Resolution::Dir(merged) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Kind, Stat};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Says {
        Nothing,
        Whiteout,
        File,
        Dir,
        Opaque,
    }
    use Says::*;

    fn verdict(says: Says) -> Verdict {
        let entry = |kind, opaque| {
            let stat = Stat { kind, ..Stat::default() };
            Verdict::Entry(Found { opaque, ..Found::plain(stat) })
        };
        match says {
            Nothing => Verdict::Nothing,
            Whiteout => Verdict::Whiteout,
            File => entry(Kind::Regular, false),
            Dir => entry(Kind::Directory, false),
            Opaque => entry(Kind::Directory, true),
        }
    }

    /// The specification: which layers show through, newest first.
    fn spec(layers: &[Says]) -> Vec<usize> {
        let speaking: Vec<usize> = (0..layers.len()).filter(|&i| layers[i] != Nothing).collect();
        match speaking.first().map(|&top| layers[top]) {
            None | Some(Whiteout) => vec![],
            Some(File) => vec![speaking[0]],
            _ => {
                let dirs = speaking.iter().copied().take_while(|&i| matches!(layers[i], Dir | Opaque));
                let dirs: Vec<usize> = dirs.collect();
                let end = dirs.iter().position(|&i| layers[i] == Opaque).map_or(dirs.len(), |p| p + 1);
                dirs[..end].to_vec()
            }
        }
    }

    #[test]
    fn every_stack_of_four_layers_resolves_as_specified() {
        let all = [Nothing, Whiteout, File, Dir, Opaque];
        let mut cases = 0;
        for a in all {
            for b in all {
                for c in all {
                    for d in all {
                        let layers = [a, b, c, d];
                        let answers = layers.iter().enumerate().map(|(i, &says)| Ok((i, verdict(says))));
                        let shown = match resolve(answers).unwrap() {
                            Resolution::Missing => vec![],
                            Resolution::Leaf(place, _) => vec![place],
                            Resolution::Dir(parts) => parts.into_iter().map(|(place, _)| place).collect(),
                        };
                        assert_eq!(shown, spec(&layers), "{layers:?}");
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 625);
    }

    #[test]
    fn no_layer_below_the_deciding_one_is_asked() {
        for decides in [Whiteout, File, Opaque] {
            let mut asked = 0;
            let layers = [Nothing, decides, File].map(verdict);
            let answers = layers.into_iter().map(|says| {
                asked += 1;
                Ok(((), says))
            });
            resolve(answers).unwrap();
            assert_eq!(asked, 2, "{decides:?}");
        }
    }
}
