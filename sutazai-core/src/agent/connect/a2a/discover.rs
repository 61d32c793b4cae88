//! Finding an agent's card, and seeing whether it has changed.

use serde_json::Value;

use super::card::PeerCard;
use super::spec::A2aSpec;
use super::story::wrong;
use crate::agent::connect::http::{BEAT, HttpCall, HttpClient, HttpRequest};
use crate::{Code, Error, Result};

/// Bytes of a card, at most.
const CARD: usize = 1 << 20;

/// A card, and what is needed to ask for it again.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) peer: PeerCard,
    /// Where it is; nothing for one that was given.
    at: Option<String>,
    tag: Option<String>,
}

/// What asking again gave.
pub(super) enum Again {
    Unchanged,
    Changed(Box<Found>),
}

impl Found {
    /// Looks for the card at the places where it may be.
    pub(super) fn find(client: &HttpClient, spec: &A2aSpec) -> Result<Self> {
        if let Some(card) = &spec.card {
            return Ok(Self { peer: PeerCard::parse(card, spec)?, at: None, tag: None });
        }
        let call = HttpCall::within(spec.card_timeout);
        let mut missing = None;
        for at in places(&spec.url)? {
            match fetch(client, spec, &call, &at, None) {
                Ok(Some((card, tag))) => {
                    return Ok(Self { peer: PeerCard::parse(&card, spec)?, at: Some(at), tag });
                }
                Ok(None) => return Err(wrong("the card has not changed since nobody knew it")),
                Err(error) if is_absent(&error) => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        let error = Error::new(Code::NOT_FOUND, "no card of an A2A agent is there")
            .operation("agent.a2a")
            .with("url", &spec.url)
            .advice("the card is at /.well-known/agent-card.json below the agent's URL");
        Err(missing.into_iter().fold(error, Error::because))
    }

    /// Asks whether anybody is there; what is said does not matter.
    pub(super) fn is_there(&self, client: &HttpClient, spec: &A2aSpec) -> Result<()> {
        let at = self.at.as_ref().unwrap_or(&self.peer.interface.url);
        let mut request = spec.signed(HttpRequest::get(at)?)?;
        if let (Some(tag), Some(_)) = (&self.tag, &self.at) {
            request = request.header("if-none-match", tag)?;
        }
        client.send(&request, &HttpCall::within(BEAT)).map(drop)
    }

    /// Asks whether the card is still the same.
    pub(super) fn again(&self, client: &HttpClient, spec: &A2aSpec) -> Result<Again> {
        let Some(at) = &self.at else { return Ok(Again::Unchanged) };
        let call = HttpCall::within(spec.card_timeout);
        let Some((card, tag)) = fetch(client, spec, &call, at, self.tag.as_deref())? else {
            return Ok(Again::Unchanged);
        };
        let peer = PeerCard::parse(&card, spec)?;
        if peer.said == self.peer.said {
            return Ok(Again::Unchanged);
        }
        Ok(Again::Changed(Box::new(Self { peer, at: Some(at.clone()), tag })))
    }
}

/// Whether the answer was that there is no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    let status = error.context().find(|(key, _)| *key == crate::port::failure::HTTP_STATUS);
    matches!(status, Some((_, "404" | "405" | "410")))
}

/// The card and its entity tag; nothing when it is the one of the tag.
fn fetch(
    client: &HttpClient,
    spec: &A2aSpec,
    call: &HttpCall,
    at: &str,
    tag: Option<&str>,
) -> Result<Option<(Value, Option<String>)>> {
    let mut request = spec.signed(HttpRequest::get(at)?.header("accept", "application/json")?)?;
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag)?;
    }
    let response = client.send(&request, call)?;
    if response.head().status() == 304 && tag.is_some() {
        return Ok(None);
    }
    let response = response.success("agent.a2a")?;
    let tag = response.head().header("etag").map(str::to_owned);
    Ok(Some((response.json(CARD)?, tag)))
}

/// Where the card of an agent at this URL may be, the likeliest first.
fn places(url: &str) -> Result<Vec<String>> {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    if plain.ends_with(".json") {
        return Ok(vec![url.to_owned()]);
    }
    let below = plain.trim_end_matches('/').to_owned();
    let origin = HttpRequest::get(url)?.origin();
    let mut places = Vec::new();
    for file in ["agent-card.json", "agent.json"] {
        for base in [&below, &origin] {
            let place = format!("{base}/.well-known/{file}");
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_looked_for_below_the_url_and_at_its_root() {
        assert_eq!(
            places("https://h:1/a/b/").unwrap(),
            [
                "https://h:1/a/b/.well-known/agent-card.json",
                "https://h:1/.well-known/agent-card.json",
                "https://h:1/a/b/.well-known/agent.json",
                "https://h:1/.well-known/agent.json",
            ]
        );
        assert_eq!(places("http://h").unwrap().len(), 2);
        assert_eq!(places("http://h/x/card.json?v=1").unwrap(), ["http://h/x/card.json?v=1"]);
    }
}
