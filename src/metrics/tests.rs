use super::*;

#[test]
fn integrations_without_number_share_a_label() {
    for i in 0..MAX_INTEGRATIONS {
        let name = format!("app-{i}");
        assert_eq!(label_of(&name), name);
    }
    assert_eq!(label_of("one-more"), "other");
    assert_eq!(label_of("app-0"), "app-0");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for (name, kind, help) in METRICS {
        assert!(name.starts_with("mcp_") && !help.is_empty(), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == C, "{name}: counters end so, and nothing else");
        assert_eq!(name.ends_with("_seconds"), *kind == H, "{name}: times are in seconds");
    }
}
