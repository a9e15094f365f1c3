//! A target with the caller's query added to it.

use std::borrow::Cow;

/// Adds `query` to `target`: before the fragment, and instead of the target's own parameters of the
/// same name, because the caller's values win. Both are left as they were written.
pub fn with_query(target: &str, query: &str) -> String {
    let (rest, fragment) = match target.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (target, None),
    };
    let (path, own) = match rest.split_once('?') {
        Some((path, own)) => (path, own),
        None => (rest, ""),
    };
    let given: Vec<Cow<'_, str>> = parameters(query).map(name).collect();
    let kept = parameters(own).filter(|parameter| !given.contains(&name(parameter)));
    let all: Vec<&str> = kept.chain(parameters(query)).collect();
    let mut location = path.to_owned();
    if !all.is_empty() {
        location.push('?');
        location.push_str(&all.join("&"));
    }
    if let Some(fragment) = fragment {
        location.push('#');
        location.push_str(fragment);
    }
    location
}

fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|parameter| !parameter.is_empty())
}

/// The name of a parameter, decoded: `a%62` and `ab` are the same.
fn name(parameter: &str) -> Cow<'_, str> {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    percent_encoding::percent_decode_str(name).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn the_callers_values_win_and_the_fragment_stays_last() {
        for (target, query, location) in [
            ("https://a.example/", "x=1", "https://a.example/?x=1"),
            ("https://a.example/?a=1", "b=2", "https://a.example/?a=1&b=2"),
            ("https://a.example/?a=1&b=0", "b=2", "https://a.example/?a=1&b=2"),
            ("https://a.example/?a=1#top", "b=2", "https://a.example/?a=1&b=2#top"),
            ("https://a.example/#/route?x=1", "b=2", "https://a.example/?b=2#/route?x=1"),
            ("https://a.example/?a%62=1", "ab=2", "https://a.example/?ab=2"),
            ("https://a.example/?flag", "flag&&x=%20", "https://a.example/?flag&x=%20"),
            ("https://a.example/?a=1", "", "https://a.example/?a=1"),
            ("https://a.example/p", "&", "https://a.example/p"),
        ] {
            assert_eq!(with_query(target, query), location, "{target} and {query}");
        }
    }
}
