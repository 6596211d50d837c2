//! "Did you mean": the nearest known word by edit distance.

/// The candidate nearest to `word`, if it is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the word may be wrong: `reserve` for `reverse` yes, `disk` for `name` no.
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit || shortened(word, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `minimum` for `min`, or the other way round.
fn shortened(word: &str, candidate: &str) -> bool {
    let shorter = word.len().min(candidate.len());
    shorter >= 3 && (word.starts_with(candidate) || candidate.starts_with(word))
}

/// Optimal string alignment: insert, delete, replace, or swap two neighbours.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replace = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["name", "title", "hostname", "overlays"];
        for (word, wanted) in [
            ("nmae", Some("name")),
            ("overlay", Some("overlays")),
            ("host-name", Some("hostname")),
            ("titles-of-all", Some("title")),
            ("disk", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), wanted, "{word}");
        }
    }
}
