//! The known name that a misspelt one was meant to be.

/// The name among `known` that is nearest to `written`, if it is near: a third of its letters may differ. Case, `-` and
/// `_` do not count.
pub(super) fn closest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = plain(written);
    // What is longer than any name is no misspelling, and the distance costs the product of the lengths.
    if written.len() > 64 {
        return None;
    }
    let distances = known.map(|name| (distance(&written, &plain(name)), name));
    let near = distances.filter(|(distance, name)| *distance <= name.len().div_ceil(3));
    near.min().map(|(_, name)| name)
}

fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// How many letters must be put in, left out or replaced to make one of the other (Levenshtein).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in other.iter().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(one.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_and_a_strange_one_is_not() {
        let known = || ["source", "slices", "sinks", "log", "workers", "maxFrame"].into_iter();
        for (written, meant) in
            [("slice", "slices"), ("Sources", "source"), ("max_frame", "maxFrame"), ("wrokers", "workers")]
        {
            assert_eq!(closest(written, known()), Some(meant));
        }
        for written in ["", "replicas", "x", &"slices".repeat(1000)] {
            assert_eq!(closest(written, known()), None, "{written}");
        }
    }

    #[test]
    fn the_distance_is_that_of_levenshtein() {
        let of = |one: &str, other: &str| distance(&plain(one), &plain(other));
        assert_eq!([of("", ""), of("", "abc"), of("abc", ""), of("kitten", "sitting")], [0, 3, 3, 3]);
    }
}
