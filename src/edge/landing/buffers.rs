//! Memory of pages that were sent, for the next ones. Pages are longer than what the allocator has at
//! hand for a thread, and finding room for one takes it longer than joining the page.

use std::cell::RefCell;

use bytes::Bytes;

/// Buffers that a thread keeps: more pages than that are seldom on their way at a time, because most go
/// out at once.
const MOST: usize = 64;

/// A buffer that is larger is not kept, in bytes: pages are under 10 KB.
const LARGEST: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A page that is being joined or sent. When it is dropped, its memory is kept by the thread that it is
/// dropped in.
#[derive(Debug)]
pub(super) struct PageBuffer(Vec<u8>);

impl PageBuffer {
    /// An empty page with room for so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let mut page = spare.ok().flatten().unwrap_or_default();
        page.reserve(bytes);
        Self(page)
    }

    /// Writes behind what is there.
    pub(super) fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// The page as the body of an answer.
    pub(super) fn into_body(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        let mut page = std::mem::take(&mut self.0);
        if page.capacity() > LARGEST {
            return;
        }
        page.clear();
        let keep = |spare: &RefCell<Vec<Vec<u8>>>| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST {
                spare.push(page);
            }
        };
        // A thread that ends keeps nothing.
        SPARE.try_with(keep).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> usize {
        SPARE.with(|spare| spare.borrow().len())
    }

    #[test]
    fn the_memory_of_a_page_that_was_sent_is_used_for_the_next() {
        let mut page = PageBuffer::with_room(5_000);
        page.push("first");
        let body = page.into_body();
        let (sent, place) = (body.clone(), body.as_ptr());
        assert_eq!(body, "first");
        drop(body);
        assert_eq!(spare(), 0, "somebody still reads it");
        drop(sent);
        assert_eq!(spare(), 1);
        let mut page = PageBuffer::with_room(4_000);
        page.push("2nd");
        let body = page.into_body();
        assert_eq!((&*body, body.as_ptr()), (&b"2nd"[..], place));
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_bound_and_nothing_large() {
        let pages: Vec<PageBuffer> = (0..=MOST).map(|_| PageBuffer::with_room(100)).collect();
        drop(pages);
        assert_eq!(spare(), MOST);
        let large = PageBuffer::with_room(LARGEST + 1);
        assert_eq!(spare(), MOST - 1);
        drop(large);
        assert_eq!(spare(), MOST - 1);
    }
}
