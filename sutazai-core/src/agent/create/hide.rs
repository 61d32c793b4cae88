//! Templates as others may see them: without the secrets that stand in their data.

use serde_json::Value;

use super::fill;
use super::template::{Template, TemplateKind};

/// What is shown in the place of a secret.
const HIDDEN: &str = "…";

impl Template {
    /// As others may see it: what is a secret, by the name of its field, is hidden. Where a secret comes from (a
    /// variable, a file, a parameter) is not.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        match &mut shown.make {
            TemplateKind::Process(data)
            | TemplateKind::Mcp(data)
            | TemplateKind::Openai(data)
            | TemplateKind::A2a(data) => hide(data, ""),
            TemplateKind::Factory(_) => {}
        }
        for (name, parameter) in &mut shown.parameters {
            if let Some(default) = &mut parameter.default {
                hide(default, name);
            }
        }
        shown
    }
}

/// Whether a field's text is a secret, by its name.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 8] = [
        "api_key",
        "apikey",
        "token",
        "secret",
        "password",
        "authorization",
        "credential",
        "bearer",
    ];
    let name = name.to_ascii_lowercase().replace('-', "_");
    WORDS.iter().any(|word| name.contains(word))
}

fn hide(value: &mut Value, name: &str) {
    match value {
        Value::String(text) => {
            if is_secret(name) && fill::names_in(text).next().is_none() {
                *text = HIDDEN.to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, name)),
        // Any header may be one.
        Value::Object(fields) if name == "headers" => {
            fields.values_mut().for_each(|value| hide(value, "secret"));
        }
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| hide(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_and_where_they_come_from_is_not() {
        let data = json!({
            "url": "https://models.example", "api_key": "sk-1", "headers": {"x-team": "t"},
            "env": {"API_TOKEN": "t-1", "HOME": "/"}, "bearer": {"env": "TOKEN_NAME"}, "n": 1,
            "password": "{word}",
        });
        let template = Template::new("a", ["s"], TemplateKind::Openai(data))
            .parameter("word", json!({}), None)
            .parameter("db_password", json!({}), Some(json!("hunter2")));
        let shown = serde_json::to_value(template.without_secrets()).unwrap();
        assert_eq!(
            shown["make"]["openai"],
            json!({
                "url": "https://models.example", "api_key": "…", "headers": {"x-team": "…"},
                "env": {"API_TOKEN": "…", "HOME": "/"}, "bearer": {"env": "TOKEN_NAME"}, "n": 1,
                "password": "{word}",
            })
        );
        assert_eq!(shown["parameters"]["db_password"]["default"], "…");
    }
}
