//! What stands in a node: bytes in, a document or what is wrong with it out. No I/O.

use crate::campaign::document::{Format, LARGEST};
use crate::fault::Fault;

/// Of a node that may not be read.
pub(super) const FORBIDDEN: &str =
    "it may not be read: give [zookeeper] authorization a user who may, or change the node's ACL";

/// How many faults are told in one line of the log.
const MOST_FAULTS: usize = 5;

/// The document in a node, and how it is written: JSON begins with `{`, and no TOML does.
pub(super) fn understand(content: &[u8]) -> Result<(&str, Format), String> {
    if content.len() > LARGEST {
        return Err(format!("it has {} bytes; at most {LARGEST} are allowed", content.len()));
    }
    let text = std::str::from_utf8(content)
        .map_err(|error| format!("it is not UTF-8 after byte {}", error.valid_up_to()))?;
    match text.trim_start().chars().next() {
        Some('{') => Ok((text, Format::Json)),
        Some(_) => Ok((text, Format::Toml)),
        None => Err("it is empty; put a document there, TOML or JSON".to_owned()),
    }
}

/// Faults in one line, the first few of them.
pub(super) fn in_words(faults: &[Fault]) -> String {
    let mut words: Vec<String> = faults.iter().take(MOST_FAULTS).map(fault_in_words).collect();
    let more = faults.len().saturating_sub(MOST_FAULTS);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

fn fault_in_words(fault: &Fault) -> String {
    let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let pointer = if fault.pointer.is_empty() { "the document" } else { &fault.pointer };
    // Some faults show a piece of the document, over several lines.
    let detail = fault.detail.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{line}{pointer} {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;

    #[test]
    fn the_first_sign_tells_json_from_toml() {
        for (content, format) in [
            (&b"{}"[..], Some(Format::Json)),
            (b" \r\n\t{", Some(Format::Json)),
            (b"name = '{'", Some(Format::Toml)),
            (b"# {", Some(Format::Toml)),
            (b"[{", Some(Format::Toml)),
            (b"", None),
            (b" \n", None),
            (b"name = '\xff'", None),
            (&vec![b'#'; LARGEST], Some(Format::Toml)),
            (&vec![b'#'; LARGEST + 1], None),
        ] {
            let understood = understand(content).map(|(_, format)| format).ok();
            assert_eq!(understood, format, "{:?}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn faults_are_one_line_of_which_the_first_few_are_told() {
        let fault = |number: usize| {
            let pointer = if number == 0 { "" } else { "/caps" };
            let mut fault = Fault::new(pointer, Reason::Malformed, format!("is\n  bad {number}"));
            fault.line = (number != 1).then_some(number);
            fault
        };
        assert_eq!(in_words(&[fault(0)]), "line 0: the document is bad 0");
        assert_eq!(in_words(&[fault(1), fault(2)]), "/caps is bad 1; line 2: /caps is bad 2");
        let many: Vec<Fault> = (0..7).map(fault).collect();
        assert!(in_words(&many).ends_with("line 4: /caps is bad 4; and 2 more"));
    }
}
