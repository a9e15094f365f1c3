//! From valid drafts to stored links, as a set: a batch of 10,000 costs a few statements.

use std::collections::{HashMap, HashSet};

use super::{Error, Made};
use crate::code::slug::SlugGenerators;
use crate::link::DomainId;
use crate::link::model::{Behaviour, Draft, Link};
use crate::store::{self, Transaction, links};

/// How often new positions are drawn for drafts whose generated slug was taken by a chosen one.
const ROUNDS: usize = 16;

/// Stores `drafts`, or finds what they may reuse; the answers stand in their order.
pub(super) async fn make(
    transaction: &Transaction<'_>,
    slugs: &SlugGenerators,
    actor: &str,
    drafts: &[&Draft],
) -> Result<Vec<Result<Made, Error>>, Error> {
    let leaders = leaders(drafts);
    let found = reusable(transaction, drafts, &leaders).await?;
    let mut making = Making::default();
    for (place, draft) in drafts.iter().enumerate() {
        if !found.contains_key(&place) && !leaders.contains_key(&place) {
            making.want(place, draft);
        }
    }
    for _ in 0..ROUNDS {
        if making.is_done() {
            break;
        }
        making.generate(transaction, slugs).await?;
        making.insert(transaction, actor).await?;
    }
    Ok(answers(drafts, &found, &leaders, &making))
}

/// The existing links that drafts with `reuse` may take, by the draft's place. Of drafts that are
/// alike only the first is looked up.
async fn reusable(
    transaction: &Transaction<'_>,
    drafts: &[&Draft],
    leaders: &HashMap<usize, usize>,
) -> Result<HashMap<usize, Link>, store::Error> {
    let (places, wanting): (Vec<usize>, Vec<&Draft>) = drafts
        .iter()
        .copied()
        .enumerate()
        .filter(|(place, draft)| draft.reuse && !leaders.contains_key(place))
        .unzip();
    if wanting.is_empty() {
        return Ok(HashMap::new());
    }
    links::lock_targets(transaction, &wanting).await?;
    let found = links::find_alike(transaction, &wanting).await?;
    Ok(places.into_iter().zip(found).filter_map(|(place, link)| Some((place, link?))).collect())
}

/// For each draft that may reuse what another draft of the same set will make, that other's place.
fn leaders(drafts: &[&Draft]) -> HashMap<usize, usize> {
    let mut first: HashMap<(DomainId, &Behaviour, Option<&str>), usize> = HashMap::new();
    let mut leaders = HashMap::new();
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.reuse) {
        let same = (draft.domain.id, &draft.behaviour, draft.slug.as_deref());
        let leader = *first.entry(same).or_insert(place);
        if leader != place {
            leaders.insert(place, leader);
        }
    }
    leaders
}

/// Drafts on their way to being links.
#[derive(Default)]
struct Making<'a> {
    /// Drafts that have no slug yet.
    unnamed: Vec<(usize, &'a Draft)>,
    /// Drafts with their slugs, to be inserted next.
    named: Vec<(usize, &'a Draft, String)>,
    /// The slugs of this set, so that none is in it twice.
    taken: HashSet<(DomainId, String)>,
    /// Links that were stored, by the place of their draft.
    stored: HashMap<usize, Link>,
}

impl<'a> Making<'a> {
    fn want(&mut self, place: usize, draft: &'a Draft) {
        match &draft.slug {
            None => self.unnamed.push((place, draft)),
            Some(slug) => {
                // The second of two drafts with one slug stays behind, and will be told so.
                if self.taken.insert((draft.domain.id, slug.clone())) {
                    self.named.push((place, draft, slug.clone()));
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.unnamed.is_empty() && self.named.is_empty()
    }

    /// Draws a position for each unnamed draft. A position without a usable slug is lost, and its
    /// draft waits for the next round.
    async fn generate(
        &mut self,
        transaction: &Transaction<'_>,
        slugs: &SlugGenerators,
    ) -> Result<(), store::Error> {
        if self.unnamed.is_empty() {
            return Ok(());
        }
        let positions = links::next_positions(transaction, self.unnamed.len()).await?;
        let unnamed = std::mem::take(&mut self.unnamed);
        for ((place, draft), position) in unnamed.into_iter().zip(positions) {
            let domain = &draft.domain;
            match slugs.generator(domain.case, domain.slug_length).slug(position) {
                Some(slug) if self.taken.insert((domain.id, slug.clone())) => {
                    self.named.push((place, draft, slug));
                }
                Some(_) | None => self.unnamed.push((place, draft)),
            }
        }
        Ok(())
    }

    /// Inserts all named drafts. Of those that ran into a stored slug, the generated ones become
    /// unnamed again.
    async fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        actor: &str,
    ) -> Result<(), store::Error> {
        let named = std::mem::take(&mut self.named);
        if named.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = named.iter().map(|(_, draft, slug)| (*draft, slug.as_str())).collect();
        let stored = links::insert(transaction, actor, &rows).await?;
        let mut stored: HashMap<_, _> =
            stored.into_iter().map(|link| ((link.domain, link.slug.clone()), link)).collect();
        for (place, draft, slug) in named {
            match stored.remove(&(draft.domain.id, slug)) {
                Some(link) => {
                    self.stored.insert(place, link);
                }
                None if draft.slug.is_none() => self.unnamed.push((place, draft)),
                None => {}
            }
        }
        Ok(())
    }
}

fn answers(
    drafts: &[&Draft],
    found: &HashMap<usize, Link>,
    leaders: &HashMap<usize, usize>,
    making: &Making<'_>,
) -> Vec<Result<Made, Error>> {
    let answer = |(place, draft): (usize, &&Draft)| {
        let leader = leaders.get(&place);
        let first = leader.unwrap_or(&place);
        if let Some(link) = found.get(first) {
            return Ok(Made { link: link.clone(), reused: true });
        }
        match making.stored.get(first) {
            Some(link) => Ok(Made { link: link.clone(), reused: leader.is_some() }),
            None => Err(match &draft.slug {
                Some(slug) => Error::SlugTaken(slug.clone()),
                None => Error::SlugsExhausted,
            }),
        }
    };
    drafts.iter().enumerate().map(answer).collect()
}
