//! What a JSON Schema says, as far as those go that `schemars` makes of serde types.

use serde_json::Value;

/// Schemas within schemas, at most; ours have a few.
const DEEPEST: usize = 64;

/// The alternatives of what may stand in a place: schemas without references and alternatives.
pub(crate) type Leaves<'s> = Vec<&'s Value>;

/// Allows any value.
pub(super) static ANYTHING: Value = Value::Bool(true);

/// The alternatives of `schema`, whose references lead into `root`.
pub(super) fn leaves<'s>(root: &'s Value, schema: &'s Value) -> Leaves<'s> {
    let mut leaves = Vec::new();
    collect(root, schema, &mut leaves, 0);
    leaves
}

fn collect<'s>(root: &'s Value, schema: &'s Value, leaves: &mut Leaves<'s>, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(target) = reference.and_then(|r| root.pointer(r.strip_prefix('#')?)) {
        return collect(root, target, leaves, depth + 1);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(alternatives) = schema.get(key).and_then(Value::as_array) {
            if schema.get("properties").is_some() {
                // A struct with an enum flattened into it: serde alone tells what fits.
                leaves.push(&ANYTHING);
            } else {
                alternatives.iter().for_each(|one| collect(root, one, leaves, depth + 1));
            }
            return;
        }
    }
    leaves.push(schema);
}

/// Whether the schema allows a value of this kind.
pub(crate) fn is(leaf: &Value, kind: &str) -> bool {
    match leaf.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|k| k.as_str() == Some(kind)),
        _ => match words(leaf) {
            Some(_) => kind == "string",
            None => is_anything(leaf) || (kind == "object" && leaf.get("properties").is_some()),
        },
    }
}

/// Whether it allows any value.
pub(super) fn is_anything(leaf: &Value) -> bool {
    const SAYS: [&str; 5] = ["type", "properties", "enum", "const", "items"];
    match leaf {
        Value::Bool(any) => *any,
        leaf => SAYS.iter().all(|key| leaf.get(key).is_none()),
    }
}

/// The words that it allows, if it allows no other.
pub(super) fn words(leaf: &Value) -> Option<Vec<&str>> {
    if let Some(word) = leaf.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    let words = leaf.get("enum")?.as_array()?;
    Some(words.iter().filter_map(Value::as_str).collect())
}

/// The words that these allow together, if none of them allows others.
pub(super) fn all_words<'s>(leaves: &[&'s Value]) -> Option<Vec<&'s str>> {
    let texts = leaves.iter().copied().filter(|leaf| is(leaf, "string"));
    let lists = texts.map(words).collect::<Option<Vec<_>>>()?;
    Some(lists.into_iter().flatten().collect())
}

pub(super) fn properties(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = object.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

pub(super) fn required(object: &Value) -> impl Iterator<Item = &str> {
    let names = object.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// What a number may be: by the schema's bounds, and by the type that its format names.
pub(super) fn bounds(leaves: &[&Value]) -> (i128, i128) {
    const ANY: (i128, i128) = (i64::MIN as i128, u64::MAX as i128);
    // Alternatives have bounds of their own; serde tells them apart.
    let [leaf] = leaves else { return ANY };
    let (low, high) = match leaf.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, i128::from(u8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
        Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
        Some("int16") => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
        Some("int64" | "int") => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => ANY,
    };
    let bound = |key| leaf.get(key).and_then(Value::as_i64).map(i128::from);
    (bound("minimum").map_or(low, |n| n.max(low)), bound("maximum").map_or(high, |n| n.min(high)))
}

/// What the schemas allow, in words; `object` is what an object is called.
pub(super) fn expected(leaves: &[&Value], object: &str, array: &str) -> String {
    let kinds = [
        ("string", "a string"),
        ("integer", "an integer"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", array),
        ("object", object),
    ];
    let fits = |kind: &str| leaves.iter().any(|leaf| is(leaf, kind));
    let fitting = kinds.iter().filter(|(kind, _)| fits(kind)).map(|(_, name)| *name);
    fitting.collect::<Vec<_>>().join(" or ")
}
