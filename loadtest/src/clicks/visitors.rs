//! Visits such as a company's links get: a few links have most of them, a few sites send most of
//! them. The same ones in each run, but for their day.

use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use waypost::clicks::writer::BATCH;
use waypost::clock::UnixMillis;
use waypost::link::LinkId;
use waypost::store::clicks::{Batch, Visit};
use waypost::visitor::agent::Browser;
use waypost::visitor::country::Country;
use waypost::visitor::{Device, Kind};

use crate::Error;
use crate::database::broken;
use crate::random::{Random, Zipf};

/// Sites that visitors come from, the first the most.
const REFERRERS: u32 = 200;
/// In a hundred visits: those that tell no referrer, those of bots, those that fetch ahead, and those
/// of visitors who ask not to be tracked.
const WITHOUT_REFERRER: u32 = 40;
const BOTS: u32 = 10;
const PREFETCHES: u32 = 2;
const PRIVATE: u32 = 3;

/// Countries that visitors come from, the first the most.
const COUNTRIES: &str = "US DE FR GB IN BR JP CA ES IT NL PL SE CH AT AU MX TR ID KR \
                         BE DK NO FI PT CZ IE ZA AR NZ";

const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// A never-ending source of visits.
pub(super) struct Visitors {
    random: Random,
    links: Vec<LinkId>,
    link_popularity: Zipf,
    referrers: Vec<Box<str>>,
    referrer_popularity: Zipf,
    countries: Vec<Country>,
    country_popularity: Zipf,
    /// Visits of each link until now.
    clicks: Vec<u32>,
    batches: u128,
}

impl Visitors {
    /// Visitors of these links, the first the most popular.
    pub(super) fn of(links: Vec<LinkId>) -> Self {
        let count = |length| u32::try_from(length).expect("a list of a thousand");
        let countries: Vec<Country> =
            COUNTRIES.split_whitespace().filter_map(Country::parse).collect();
        Self {
            random: Random::new(0x0c11_c001),
            link_popularity: Zipf::new(count(links.len())),
            referrers: (1..=REFERRERS)
                .map(|number| format!("site-{number}.example.com").into())
                .collect(),
            referrer_popularity: Zipf::new(REFERRERS),
            country_popularity: Zipf::new(count(countries.len())),
            countries,
            clicks: vec![0; links.len()],
            links,
            batches: 0,
        }
    }

    /// Visits until now of the link of this rank, from 0.
    pub(super) fn clicks(&self, rank: usize) -> u32 {
        self.clicks.get(rank).copied().unwrap_or_default()
    }

    /// `clicks` visits of a day (UTC), spread over all of it, in batches such as Waypost makes.
    pub(super) fn day(
        &mut self,
        day: Date,
        clicks: u32,
    ) -> Result<impl Iterator<Item = Batch>, Error> {
        let midnight = day.to_zoned(TimeZone::UTC).map_err(broken)?.timestamp();
        let begin = UnixMillis::from(midnight).0;
        let apart = DAY_MILLIS / u64::from(clicks.max(1));
        let mut number = 0_u64;
        let size = u64::try_from(BATCH).expect("a batch is small");
        Ok(std::iter::from_fn(move || {
            let end = number.saturating_add(size).min(clicks.into());
            if number == end {
                return None;
            }
            let at = |place: u64| begin + place * DAY_MILLIS / u64::from(clicks) + apart / 2;
            let visits = (number..end).map(|place| self.visit(UnixMillis(at(place)))).collect();
            number = end;
            self.batches += 1;
            Some(Batch { id: self.batches, visits })
        }))
    }

    fn visit(&mut self, at: UnixMillis) -> Visit {
        let random = &mut self.random;
        let rank = self.link_popularity.choose(random);
        if let Some(clicks) = self.clicks.get_mut(rank) {
            *clicks += 1;
        }
        let kind = match random.below(100) {
            bot if bot < BOTS => Kind::Bot,
            prefetch if prefetch < BOTS + PREFETCHES => Kind::Prefetch,
            _person => Kind::Person,
        };
        let private = random.chance(PRIVATE);
        let told = !private && !random.chance(WITHOUT_REFERRER);
        let referrer = self.referrers.get(self.referrer_popularity.choose(random));
        let country = self.countries.get(self.country_popularity.choose(random));
        let byte = |random: &mut Random| u8::try_from(random.below(256)).expect("less than 256");
        let network = IpAddr::from([byte(random), byte(random), byte(random), 0]);
        Visit {
            link: *self.links.get(rank).expect("less than the count"),
            at,
            kind,
            device: *random.pick(&Device::ALL),
            browser: *random.pick(&Browser::ALL),
            country: country.copied().filter(|_| !private),
            referrer: referrer.filter(|_| told).cloned(),
            network: (!private).then_some(network),
            private,
            click_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost::store::clicks::days;

    use super::*;

    #[test]
    fn a_day_has_all_its_visits_in_order_and_no_others() {
        let mut visitors = Visitors::of((1..=1_000).map(LinkId).collect());
        let day = Date::constant(2030, 1, 31);
        let batches: Vec<Batch> = visitors.day(day, 12_345).expect("a day").collect();
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.visits.len()).collect();
        assert_eq!(sizes, [5_000, 5_000, 2_345]);
        let visits: Vec<&Visit> = batches.iter().flat_map(|batch| &batch.visits).collect();
        assert!(visits.is_sorted_by_key(|visit| visit.at));
        assert!(visits.iter().all(|visit| days::day_of(visit.at) == day));
        let busiest = visits.iter().filter(|visit| visit.link == LinkId(1)).count();
        assert_eq!(u32::try_from(busiest), Ok(visitors.clicks(0)));
    }

    #[test]
    fn the_mix_is_the_one_that_is_told() {
        let mut visitors = Visitors::of((1..=1_000).map(LinkId).collect());
        let day = Date::constant(2030, 1, 31);
        let batches: Vec<Batch> = visitors.day(day, 100_000).expect("a day").collect();
        let share = |is: fn(&Visit) -> bool| {
            batches.iter().flat_map(|batch| &batch.visits).filter(|visit| is(visit)).count()
        };
        for (name, found, expected) in [
            ("busiest link", share(|visit| visit.link == LinkId(1)), 13_360),
            ("bots", share(|visit| visit.kind == Kind::Bot), 10_000),
            ("prefetches", share(|visit| visit.kind == Kind::Prefetch), 2_000),
            ("private", share(|visit| visit.private), 3_000),
            ("without referrer", share(|visit| visit.referrer.is_none()), 41_800),
        ] {
            assert!(found.abs_diff(expected) < 600, "{name}: {found} in 100,000");
        }
        let tells = |visit: &Visit| visit.country.is_some() || visit.network.is_some();
        let all = batches.iter().flat_map(|batch| &batch.visits);
        assert!(all.filter(|visit| visit.private).all(|visit| !tells(visit)));
    }
}
