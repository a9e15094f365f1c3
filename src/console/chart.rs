//! Charts as pictures within the page. Each has the same numbers in a table beside it, for those who
//! do not see it and for those who want to know exactly.

use jiff::civil::Date;
use maud::{Markup, html};

use super::page::{number, said, table};

/// How high a chart of bars is, in units of its own.
const HEIGHT: i64 = 1_000;
/// How wide each bar is, with the gap beside it, in units of its own.
const STEP: i64 = 10;
/// How wide a line is that shows parts of a whole, in units of its own.
const WIDTH: i64 = 1_000;

/// How many of something there were on each of some days, as bars.
pub(super) fn days(what: &str, days: &[(Date, i64)]) -> Markup {
    let most = days.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let sum = days.iter().fold(0_i64, |sum, (_, count)| sum.saturating_add(*count));
    let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else {
        return html! {};
    };
    let spoken = format!(
        "{what}, by day, from {first} to {last}: {} in all, {} on the day with most. The numbers stand \
         in the table below.",
        number(sum),
        number(most)
    );
    let width = i64::try_from(days.len()).unwrap_or(i64::MAX).saturating_mul(STEP);
    let rows: Vec<Vec<Markup>> = days
        .iter()
        .rev()
        .map(|(day, count)| vec![said(day.to_string()), said(number(*count))])
        .collect();
    html! {
        figure.days {
            p.top aria-hidden="true" { (number(most)) }
            svg role="img" aria-label=(spoken) viewBox={ "0 0 " (width) " " (HEIGHT) }
                preserveAspectRatio="none" {
                @for (place, (day, count)) in (0_i64..).zip(days) {
                    @let height = share(*count, most, HEIGHT);
                    rect x=(place * STEP + 1) y=(HEIGHT - height) width=(STEP - 2) height=(height) {
                        title { (day) ": " (number(*count)) }
                    }
                }
            }
            p.ends aria-hidden="true" { span { (first) } span { (last) } }
            details {
                summary { (what) " as a table" }
                (table(what, &[("Day", false), ("Number", true)], &rows))
            }
        }
    }
}

/// Some parts of a whole beside each other, each with its name and its value in words.
pub(super) fn parts(what: &str, parts: &[(&str, i64, String)]) -> Markup {
    let whole = parts.iter().fold(0_i64, |sum, (_, part, _)| sum.saturating_add(*part));
    let spoken: Vec<String> =
        parts.iter().map(|(name, _, words)| format!("{name} {words}")).collect();
    let mut from = 0;
    let pieces: Vec<(usize, i64, i64)> = parts
        .iter()
        .enumerate()
        .map(|(place, (_, part, _))| {
            let width = share(*part, whole, WIDTH).min(WIDTH - from);
            from += width;
            (place, from - width, width)
        })
        .collect();
    html! {
        figure.parts {
            svg role="img" aria-label={ (what) ": " (spoken.join(", ")) } viewBox={ "0 0 " (WIDTH) " 10" }
                preserveAspectRatio="none" {
                rect.whole x="0" y="0" width=(WIDTH) height="10" {}
                @for (place, x, width) in pieces {
                    rect class={ "part-" (place) } x=(x) y="0" width=(width) height="10" {}
                }
            }
            figcaption {
                @for (place, (name, _, words)) in parts.iter().enumerate() {
                    span class={ "key part-" (place) } { (name) " " b { (words) } }
                }
            }
        }
    }
}

/// One value in proportion to the largest, as a line.
pub(super) fn line(value: i64, most: i64) -> Markup {
    html! {
        svg.line aria-hidden="true" viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" {
            rect x="0" y="0" width=(share(value, most, WIDTH)) height="10" {}
        }
    }
}

/// How much of `length` stands for `value`, if `most` is all of it; what is there at all is seen.
fn share(value: i64, most: i64, length: i64) -> i64 {
    if value <= 0 || most <= 0 {
        return 0;
    }
    let exact = i128::from(value.min(most)) * i128::from(length) / i128::from(most);
    i64::try_from(exact).unwrap_or(length).max(length / 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion_and_what_is_there_is_seen() {
        for (value, most, expected) in [
            (0, 0, 0),
            (0, 9, 0),
            (-1, 9, 0),
            (1, 2, 500),
            (2, 2, 1_000),
            (3, 2, 1_000),
            (1, 1_000_000, 5),
            (i64::MAX, i64::MAX, 1_000),
        ] {
            assert_eq!(share(value, most, 1_000), expected, "{value} of {most}");
        }
    }

    #[test]
    fn a_chart_says_in_words_and_in_a_table_what_it_shows() {
        let day = jiff::civil::date(2030, 1, 1);
        let chart = days("Clicks", &[(day, 2), (day.tomorrow().expect("a day"), 4)]).into_string();
        assert!(
            chart.contains("Clicks, by day, from 2030-01-01 to 2030-01-02: 6 in all, 4 on the")
        );
        assert!(chart.contains("y=\"500\" width=\"8\" height=\"500\""), "{chart}");
        assert!(chart.contains("<td data-label=\"Day\">2030-01-02</td>"), "{chart}");
        assert_eq!(days("Clicks", &[]).into_string(), "");
    }
}
