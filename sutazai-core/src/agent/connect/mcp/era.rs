//! The two eras of MCP, and how it is found out which one a server lives in. No clock, no I/O.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::catalogue::Catalogue;
use super::rpc::RpcError;

/// Which of the two protocols a server speaks.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// The revisions up to 2025-11-25, which begin with `initialize`.
    #[default]
    Legacy,
    /// 2026-07-28: no session; each request says everything itself.
    Modern,
}

/// The stateless revisions that are spoken here, the preferred one first.
pub(super) const MODERN: [&str; 1] = ["2026-07-28"];
/// Those before, likewise.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Pages of tools, at most.
const PAGES: usize = 128;

/// From the first message to the list of tools.
#[derive(Debug)]
pub(super) struct Handshake {
    stage: Stage,
    found: Catalogue,
    cursors: BTreeSet<String>,
    pages: usize,
    /// How often it was begun in one way or the other.
    turns: u32,
    /// What the server answered to `server/discover` after it had been given up.
    discovered: Option<Value>,
    /// The era is known from before: no doubt about it is left but for an error.
    known: Option<Era>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Discover,
    Initialize,
    List,
    Over,
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Send this request, and tell the answer.
    Ask { method: &'static str, params: Value },
    /// Send this notification.
    Tell { method: &'static str },
    /// It is over: this is what there is.
    Done(Box<Catalogue>),
    /// There is no talking to it.
    Impossible(String),
}

impl Handshake {
    /// A handshake with a server whose era may be known from before.
    pub(super) fn new(known: Option<Era>) -> Self {
        Self {
            stage: Stage::Over,
            found: Catalogue::default(),
            cursors: BTreeSet::new(),
            pages: 0,
            turns: 0,
            discovered: None,
            known,
        }
    }

    /// What to begin with.
    pub(super) fn begin(&mut self) -> Vec<Step> {
        match self.known {
            Some(Era::Legacy) => self.initialize(),
            _ => vec![self.discover(MODERN[0])],
        }
    }

    /// Only the list of tools, of a server that is known.
    pub(super) fn list_again(found: &Catalogue) -> (Self, Vec<Step>) {
        let mut new = Self::new(Some(found.era));
        new.found = found.without_tools();
        let steps = vec![new.list(None)];
        (new, steps)
    }

    /// Whether it waits for the answer to a probe that a server of the older era may never give.
    pub(super) fn probes(&self) -> bool {
        self.stage == Stage::Discover
    }

    /// The era of the messages that are sent now.
    pub(super) fn era(&self) -> Era {
        self.found.era
    }

    /// Their revision.
    pub(super) fn revision(&self) -> &str {
        &self.found.revision
    }

    /// The server answered the last request; `method` is what was asked.
    pub(super) fn answered(&mut self, method: &str, answer: Result<Value, RpcError>) -> Vec<Step> {
        match (method, self.stage) {
            ("server/discover", Stage::Discover) => self.discovered(answer),
            ("server/discover", Stage::Initialize) => {
                // It was given up, and speaks after all. What it says counts if `initialize` fails.
                self.discovered = answer.ok().filter(|result| versions(result).is_some());
                Vec::new()
            }
            ("initialize", Stage::Initialize) => self.initialized(answer),
            ("tools/list", Stage::List) => self.listed(answer),
            _ => Vec::new(),
        }
    }

    /// The probe was not answered in time, or was the end of the server.
    pub(super) fn silent(&mut self) -> Vec<Step> {
        if self.probes() { self.initialize() } else { Vec::new() }
    }

    fn discover(&mut self, revision: &str) -> Step {
        self.stage = Stage::Discover;
        self.found.era = Era::Modern;
        revision.clone_into(&mut self.found.revision);
        Step::Ask { method: "server/discover", params: json!({}) }
    }

    fn discovered(&mut self, answer: Result<Value, RpcError>) -> Vec<Step> {
        match answer {
            Ok(result) => match versions(&result) {
                Some(offered) => self.choose(&offered, &result),
                // Not what the method answers: it does not know it and says so in its own way.
                None => self.initialize(),
            },
            Err(error) => match error.supported() {
                Some(offered) => self.choose(&offered, &Value::Null),
                None => self.initialize(),
            },
        }
    }

    /// Goes on with the best of the revisions that the server speaks.
    fn choose(&mut self, offered: &[&str], result: &Value) -> Vec<Step> {
        self.turns += 1;
        if self.turns > 4 {
            return vec![self.impossible("it sends from one era to the other and back")];
        }
        let spoken = |ours: &[&'static str]| {
            ours.iter().find(|revision| offered.contains(revision)).copied()
        };
        match (spoken(&MODERN), spoken(&LEGACY)) {
            (Some(modern), _) => {
                modern.clone_into(&mut self.found.revision);
                self.found.era = Era::Modern;
                let meta = result.get("_meta");
                let info = meta.and_then(|m| m.get("io.modelcontextprotocol/serverInfo"));
                self.found.introduce(info.or_else(|| result.get("serverInfo")));
                self.instructions(result);
                vec![self.list(None)]
            }
            (None, Some(_)) => self.initialize(),
            (None, None) => vec![self.impossible(&format!("it speaks {}", offered.join(", ")))],
        }
    }

    fn initialize(&mut self) -> Vec<Step> {
        self.stage = Stage::Initialize;
        self.found.era = Era::Legacy;
        LEGACY[0].clone_into(&mut self.found.revision);
        let params = json!({
            "protocolVersion": LEGACY[0],
            "capabilities": {},
            "clientInfo": client_info(),
        });
        vec![Step::Ask { method: "initialize", params }]
    }

    fn initialized(&mut self, answer: Result<Value, RpcError>) -> Vec<Step> {
        let result = match answer {
            Ok(result) => result,
            Err(error) => {
                if let Some(late) = self.discovered.take()
                    && let Some(offered) = versions(&late)
                {
                    return self.choose(&offered, &late);
                }
                if let Some(offered) = error.supported()
                    && MODERN.iter().any(|revision| offered.contains(revision))
                {
                    return vec![self.discover(MODERN[0])];
                }
                let said = format!("it refused to begin: {} ({})", error.message, error.code);
                return vec![self.impossible(&said)];
            }
        };
        let revision = result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        if !LEGACY.contains(&revision) {
            return vec![self.impossible(&format!("it answered with the revision {revision:?}"))];
        }
        revision.clone_into(&mut self.found.revision);
        self.found.introduce(result.get("serverInfo"));
        self.instructions(&result);
        let told = Step::Tell { method: "notifications/initialized" };
        vec![told, self.list(None)]
    }

    fn list(&mut self, cursor: Option<&str>) -> Step {
        self.stage = Stage::List;
        let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        Step::Ask { method: "tools/list", params }
    }

    fn listed(&mut self, answer: Result<Value, RpcError>) -> Vec<Step> {
        let result = match answer {
            Ok(result) => result,
            Err(error) => {
                let said =
                    format!("it does not list its tools: {} ({})", error.message, error.code);
                return vec![self.impossible(&said)];
            }
        };
        let Some(tools) = result.get("tools").and_then(Value::as_array) else {
            return vec![self.impossible("its list of tools is none")];
        };
        self.found.page(tools);
        self.pages += 1;
        let next = result.get("nextCursor").and_then(Value::as_str);
        // A cursor that comes again would go round for ever.
        let next = next.filter(|c| self.pages < PAGES && self.cursors.insert((*c).to_owned()));
        match next {
            Some(cursor) => vec![self.list(Some(cursor))],
            None => {
                self.stage = Stage::Over;
                vec![Step::Done(Box::new(std::mem::take(&mut self.found)))]
            }
        }
    }

    fn instructions(&mut self, result: &Value) {
        let text = result.get("instructions").and_then(Value::as_str).unwrap_or_default();
        text.clone_into(&mut self.found.instructions);
    }

    fn impossible(&mut self, what: &str) -> Step {
        self.stage = Stage::Over;
        let ours = [&MODERN[..], &LEGACY[..]].concat().join(", ");
        Step::Impossible(format!("{what}; this side speaks {ours}"))
    }
}

/// The revisions that a `DiscoverResult` names.
fn versions(result: &Value) -> Option<Vec<&str>> {
    let list = result.get("supportedVersions")?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).collect())
}

/// Who this is.
pub(super) fn client_info() -> Value {
    json!({"name": "sutazai", "version": env!("CARGO_PKG_VERSION")})
}

/// Puts what every request of a revision carries into its `_meta`.
pub(super) fn add_meta(params: &mut Value, era: Era, revision: &str) {
    if era == Era::Legacy {
        return;
    }
    let Some(params) = params.as_object_mut() else { return };
    let meta = params.entry("_meta").or_insert_with(|| json!({}));
    if let Some(meta) = meta.as_object_mut() {
        meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), revision.into());
        meta.insert("io.modelcontextprotocol/clientInfo".to_owned(), client_info());
        meta.insert("io.modelcontextprotocol/clientCapabilities".to_owned(), json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i64, data: Value) -> Result<Value, RpcError> {
        Err(RpcError { code, message: "no".to_owned(), data })
    }

    fn asked(steps: &[Step]) -> Vec<&str> {
        steps
            .iter()
            .map(|step| match step {
                Step::Ask { method, .. } => method,
                Step::Tell { method } => method,
                Step::Done(_) => "done",
                Step::Impossible(_) => "impossible",
            })
            .collect()
    }

    fn begun() -> Handshake {
        let mut new = Handshake::new(None);
        assert_eq!(asked(&new.begin()), ["server/discover"]);
        new
    }

    const LIST: [&str; 2] = ["notifications/initialized", "tools/list"];

    #[test]
    fn a_modern_server_is_asked_for_its_tools_page_by_page() {
        let mut new = begun();
        let result = json!({
            "supportedVersions": ["2026-07-28"],
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "3"}},
            "instructions": "use it",
        });
        assert_eq!(asked(&new.answered("server/discover", Ok(result))), ["tools/list"]);
        let page = json!({"tools": [{"name": "a"}], "nextCursor": "2"});
        let steps = new.answered("tools/list", Ok(page));
        assert_eq!(steps, [Step::Ask { method: "tools/list", params: json!({"cursor": "2"}) }]);
        // The same cursor again is not followed.
        let page = json!({"tools": [{"name": "b"}], "nextCursor": "2"});
        let Some(Step::Done(found)) = new.answered("tools/list", Ok(page)).pop() else {
            panic!("not done")
        };
        assert_eq!((found.era, &*found.revision), (Era::Modern, "2026-07-28"));
        assert_eq!((&*found.server, &*found.version, &*found.instructions), ("s", "3", "use it"));
        assert_eq!(found.order, ["a", "b"]);
    }

    #[test]
    fn whatever_else_it_answers_it_is_older() {
        for answer in [
            error(-32601, Value::Null),
            error(-32602, Value::Null),
            error(0, Value::Null),
            error(-32022, json!({"supported": ["2025-06-18", "2024-11-05"]})),
            Ok(json!({})),
            Ok(json!({"supportedVersions": ["2025-11-25"]})),
        ] {
            let mut new = begun();
            assert_eq!(asked(&new.answered("server/discover", answer)), ["initialize"]);
            let result = json!({"protocolVersion": "2025-06-18", "serverInfo": {"name": "old"}});
            assert_eq!(asked(&new.answered("initialize", Ok(result))), LIST);
            let done = new.answered("tools/list", Ok(json!({"tools": []})));
            let [Step::Done(found)] = &done[..] else { panic!("{done:?}") };
            assert_eq!((found.era, &*found.revision), (Era::Legacy, "2025-06-18"));
        }
    }

    #[test]
    fn a_late_discovery_counts_when_initialize_fails() {
        let late = json!({"supportedVersions": ["2026-07-28"]});
        let mut new = begun();
        assert_eq!(asked(&new.silent()), ["initialize"]);
        assert!(new.answered("server/discover", Ok(late.clone())).is_empty());
        let refused = error(-32601, Value::Null);
        assert_eq!(asked(&new.answered("initialize", refused)), ["tools/list"]);
        let mut new = begun();
        new.silent();
        new.answered("server/discover", Ok(late));
        let result = json!({"protocolVersion": "2025-11-25"});
        assert_eq!(asked(&new.answered("initialize", Ok(result))), LIST);
        // A modern server that says so only to `initialize` is asked again.
        let mut new = begun();
        new.silent();
        let refused = error(-32022, json!({"supported": ["2026-07-28"]}));
        assert_eq!(asked(&new.answered("initialize", refused)), ["server/discover"]);
    }

    #[test]
    fn there_are_servers_that_cannot_be_talked_to() {
        let mut new = begun();
        let future = error(-32022, json!({"supported": ["2030-01-01"]}));
        let steps = new.answered("server/discover", future);
        let [Step::Impossible(why)] = &steps[..] else { panic!("{steps:?}") };
        assert!(why.contains("2030-01-01") && why.contains("2025-11-25"), "{why}");
        for answer in [error(-32603, Value::Null), Ok(json!({"protocolVersion": "1999"}))] {
            let mut new = Handshake::new(Some(Era::Legacy));
            assert_eq!(asked(&new.begin()), ["initialize"]);
            assert_eq!(asked(&new.answered("initialize", answer)), ["impossible"]);
        }
        let mut new = Handshake::new(Some(Era::Legacy));
        new.begin();
        new.answered("initialize", Ok(json!({"protocolVersion": "2025-11-25"})));
        assert_eq!(asked(&new.answered("tools/list", Ok(json!({})))), ["impossible"]);
    }

    #[test]
    fn answers_that_nobody_waits_for_change_nothing() {
        let mut new = begun();
        assert!(new.answered("tools/list", Ok(json!({"tools": []}))).is_empty());
        assert!(new.answered("initialize", Ok(json!({}))).is_empty());
        assert!(new.probes());
    }
}
