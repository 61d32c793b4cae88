//! Which attributes policies mention: what no policy mentions need not be told to any.

use std::collections::HashSet;

use cedar_policy_core::ast::{ExprKind, Policy};

/// The names of all attributes that stand in the policies, whatever they are of.
pub(super) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> HashSet<Box<str>> {
    let mut names = HashSet::new();
    for policy in policies {
        for expr in policy.condition().subexpressions() {
            if let ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } =
                expr.expr_kind()
            {
                names.insert(attr.as_str().into());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::PolicySet;

    #[test]
    fn attributes_are_found_wherever_they_stand() {
        let set = PolicySet::from_cedar(
            "p",
            r#"permit (principal, action, resource)
               when { context has risk && context.risk < 5 }
               unless { if principal.level > 1 then [resource["owner"]].contains(principal) else false };"#,
        )
        .unwrap();
        assert!(["risk", "level", "owner"].iter().all(|name| set.mentions(name)));
        assert!(!set.mentions("input") && !PolicySet::empty().mentions("risk"));
    }
}
