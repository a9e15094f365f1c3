use proptest::prelude::*;

use super::*;

const NOW: UnixMillis = UnixMillis(1_893_456_000_000);

fn keys() -> TokenKeys {
    TokenKeys::new([
        TokenKey::new(1, UnixMillis(0), &[1; 32]),
        TokenKey::new(2, NOW, &[2; 32]),
        TokenKey::new(3, NOW.after(Duration::from_mins(1)), &[3; 32]),
    ])
}

fn token() -> ClickToken {
    ClickToken {
        click_id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        campaign: CampaignNumber(7),
        version: Version(3),
        domain: DomainId(1),
        code: "7KQ2MX".to_owned(),
        clicked_at_seconds: 1_893_456_000,
    }
}

fn minted() -> String {
    token().mint(keys().current_at(NOW).expect("a key"))
}

fn tokens() -> impl Strategy<Value = ClickToken> {
    let ids = (0..=i32::MAX, 0..=i32::MAX, 0..=i32::MAX);
    let week = NOW.0 / 1_000 - 604_799..=NOW.0 / 1_000;
    (any::<u128>(), ids, "[0-9A-HJ-NP-Z]{4,20}", week).prop_map(
        |(click_id, (campaign, version, domain), code, clicked_at_seconds)| ClickToken {
            click_id,
            campaign: CampaignNumber(campaign),
            version: Version(version),
            domain: DomainId(domain),
            code,
            clicked_at_seconds,
        },
    )
}

#[test]
fn a_token_has_a_form_that_stays() {
    let text = minted();
    assert_eq!(text.len(), 66);
    insta::assert_snapshot!(text.get(..44).unwrap_or_default(), @"AQIBI0VniavN7wEjRWeJq83vgLHvhgcHAwEGN0tRMk1Y");
    assert_eq!(ClickToken::read(&text, &keys(), NOW), Ok(token()));
}

#[test]
fn each_fault_is_told_apart() {
    let good = minted();
    let (key_9, own) = (TokenKey::new(9, NOW, &[9; 32]), TokenKey::new(2, NOW, &[9; 32]));
    let cut = good.get(..good.len() - 4).unwrap_or_default().to_owned();
    for (what, text, expected) in [
        ("nothing", String::new(), TokenFault::Malformed),
        ("a text", "hello world".to_owned(), TokenFault::Malformed),
        ("another alphabet", good.replacen(char::is_alphanumeric, "+", 1), TokenFault::Malformed),
        ("padding", format!("{good}=="), TokenFault::Malformed),
        ("more behind it", format!("{good}AAAA"), TokenFault::Malformed),
        ("far too long", "A".repeat(100_000), TokenFault::Malformed),
        ("cut", cut, TokenFault::Malformed),
        ("a key that nobody has", token().mint(&key_9), TokenFault::UnknownKey(9)),
        ("a guessed secret", token().mint(&own), TokenFault::Forged),
    ] {
        assert_eq!(ClickToken::read(&text, &keys(), NOW), Err(expected), "{what}: {text}");
    }
}

#[test]
fn a_token_is_good_for_seven_days_and_not_before_its_time() {
    let text = minted();
    let second = Duration::from_secs(1);
    let life = NOW.after(LIFE);
    for (now, expected) in [
        (NOW, None),
        (life.before(second), None),
        (life, Some(TokenFault::Expired)),
        (UnixMillis::NEVER, Some(TokenFault::Expired)),
        (NOW.before(CLOCKS_DIFFER), None),
        (NOW.before(CLOCKS_DIFFER).before(second), Some(TokenFault::FromTheFuture)),
        (UnixMillis(0), Some(TokenFault::FromTheFuture)),
    ] {
        assert_eq!(ClickToken::read(&text, &keys(), now).err(), expected, "{now:?}");
    }
    let forgotten = TokenKeys::default();
    assert_eq!(ClickToken::read(&text, &forgotten, NOW), Err(TokenFault::UnknownKey(2)));
    assert_eq!(ClickToken::read(&text, &forgotten, life), Err(TokenFault::Expired));
}

#[test]
fn the_latest_key_whose_time_has_come_signs() {
    let signs = |now| keys().current_at(now).map(|key| key.id);
    assert_eq!(signs(NOW.before(Duration::from_millis(1))), Some(1));
    assert_eq!(signs(NOW), Some(2));
    assert_eq!(signs(NOW.after(Duration::from_mins(1))), Some(3));
    assert_eq!(TokenKeys::default().current_at(NOW).map(|key| key.id), None);
    let early = TokenKeys::new([TokenKey::new(5, NOW, &[5; 32])]);
    assert_eq!(early.current_at(UnixMillis(0)).map(|key| key.id), Some(5));
}

#[test]
fn a_key_does_not_show_its_secret() {
    let shown = format!("{:?}", keys());
    assert!(shown.contains("hidden") && !shown.contains("keyed"), "{shown}");
}

#[test]
fn a_token_is_found_in_what_stores_hand_over() {
    let text = minted();
    let whole = format!("wp_click={text}&utm_source=waypost");
    let escaped = format!("wp_click%3D{text}%26utm_source%3Dwaypost");
    for handed in [
        text.clone(),
        format!("  {text}\n"),
        whole.clone(),
        escaped.clone(),
        escaped.replace('%', "%25"),
        format!("utm_source=waypost&wp_click={text}"),
        format!("utm_medium=a%26b&wp_click={text}"),
        format!("https://go.example/r/7KQ2MX?wp_click={text}#top"),
    ] {
        assert_eq!(from_referrer(&handed), text, "{handed}");
    }
    for other in ["", "utm_source=google-play&utm_medium=organic", "%FF", "wp_click"] {
        let read = ClickToken::read(&from_referrer(other), &keys(), NOW);
        assert_eq!(read, Err(TokenFault::Malformed), "{other}");
    }
}

#[test]
fn a_click_has_one_name() {
    let name = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(click_name(token().click_id), name);
    assert_eq!(click_name(0), "00000000-0000-0000-0000-000000000000");
    assert_eq!(click_named(name), Some(token().click_id));
    assert_eq!(click_named(&name.to_uppercase()), Some(token().click_id));
    for other in ["", "+", "0123", &name.replace('-', ""), &name.replace('a', "g")] {
        assert_eq!(click_named(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn a_token_reads_back(token in tokens()) {
        let keys = keys();
        let text = token.mint(keys.by_id(1).expect("a key"));
        prop_assert!(text.len() <= LONGEST);
        prop_assert_eq!(ClickToken::read(&text, &keys, NOW), Ok(token));
    }

    #[test]
    fn no_cut_and_no_bent_character_goes_through(
        token in tokens(), place: prop::sample::Index, other in "[A-Za-z0-9_-]",
    ) {
        let keys = keys();
        let text = token.mint(keys.by_id(1).expect("a key"));
        let place = place.index(text.len());
        let (before, after) = (text.get(..place).unwrap_or(""), text.get(place + 1..).unwrap_or(""));
        prop_assert!(ClickToken::read(before, &keys, NOW).is_err());
        prop_assert!(ClickToken::read(after, &keys, NOW).is_err());
        let bent = format!("{before}{other}{after}");
        if bent != text {
            prop_assert!(ClickToken::read(&bent, &keys, NOW).is_err());
        }
    }

    #[test]
    fn any_text_is_read_without_harm(text in ".{0,120}", bytes: Vec<u8>) {
        let keys = keys();
        prop_assert!(ClickToken::read(&from_referrer(&text), &keys, NOW).is_err());
        let encoded = URL_SAFE_NO_PAD.encode([&[FORM][..], &bytes].concat());
        prop_assert!(ClickToken::read(&encoded, &keys, NOW).is_err());
    }

    #[test]
    fn numbers_have_one_form(number: u64, bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut written = Vec::new();
        put(&mut written, number);
        prop_assert_eq!(take_number(&mut &written[..]), Some(number));
        let mut rest = &bytes[..];
        if let Some(number) = take_number(&mut rest) {
            written.clear();
            put(&mut written, number);
            prop_assert_eq!(&bytes[..bytes.len() - rest.len()], &written[..]);
        }
    }
}
