//! "Did you mean …?": the valid name that is nearest to a wrong one.

/// The candidate that `name` is most likely a misspelling of, or `None` when none is near.
///
/// Distance is optimal string alignment (a swap of neighbours counts once) over lower-case text in
/// which `-`, `_` and spaces are alike. Near means at most one edit in three characters, which is
/// rustc's threshold for the same question.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = folded(name);
    let limit = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer names are cut here: nobody misspells more, and the distance takes quadratic time.
const LONGEST: usize = 64;

fn folded(name: &str) -> String {
    name.chars()
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .map(|c| if matches!(c, '-' | ' ') { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspellings_and_nothing_else() {
        let names = ["concurrency", "command", "deadline", "cwd", "env"];
        assert_eq!(nearest("concurency", names), Some("concurrency"));
        assert_eq!(nearest("Dead-Line", ["dead_line"]), Some("dead_line"));
        assert_eq!(nearest("comand", names), Some("command"));
        assert_eq!(nearest("evn", names), Some("env"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
