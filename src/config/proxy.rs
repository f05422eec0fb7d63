//! Proxies to the outside, which the environment may name and the HTTP client does not know.

/// Returns the variable that names a proxy for the upstream, unless `NO_PROXY` excepts its host. It would be asked
/// directly, past a proxy that is there for a reason, so the server does not start. The sandbox is on this machine.
#[must_use]
pub fn unsupported_proxy(settings: &super::Settings) -> Option<&'static str> {
    let url = &settings.membrane.base_url;
    if settings.sandbox.enabled { None } else { proxy_for(url, |name| std::env::var(name).ok()) }
}

fn proxy_for(url: &str, env: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let named = |name: &&str| env(name).is_some_and(|value| !value.trim().is_empty());
    let names: &[&'static str] = match scheme {
        "https" => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        // In upper case it could come from a request's header `Proxy`, where the server is run as CGI; curl ignores it too.
        _ => &["http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let name = names.iter().copied().find(named)?;
    let excepted = ["NO_PROXY", "no_proxy"].iter().filter_map(|name| env(name)).collect::<Vec<_>>().join(",");
    (!excepts(&excepted, host(rest))).then_some(name)
}

/// Returns the host of a URL without its scheme.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    match address.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    }
}

/// Returns whether a list like `localhost,.example.com` holds a host: itself, or a domain that it is in.
fn excepts(list: &str, host: &str) -> bool {
    list.split([',', ' ']).map(str::trim).filter(|item| !item.is_empty()).any(|item| {
        let domain = item.trim_start_matches("*.").trim_start_matches('.');
        let within = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        item == "*" || host.eq_ignore_ascii_case(domain) || within(domain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_counts_unless_the_host_is_excepted() {
        const API: &str = "https://api.example.com";
        let cases: [(&str, &[(&str, &str)], Option<&str>); 12] = [
            (API, &[], None),
            (API, &[("HTTPS_PROXY", "http://proxy:3128")], Some("HTTPS_PROXY")),
            (API, &[("https_proxy", "http://proxy:3128")], Some("https_proxy")),
            (API, &[("ALL_PROXY", "http://proxy:3128")], Some("ALL_PROXY")),
            (API, &[("HTTPS_PROXY", " ")], None),
            (API, &[("http_proxy", "http://proxy:3128")], None),
            ("http://api.example.com", &[("http_proxy", "http://proxy:3128")], Some("http_proxy")),
            (API, &[("HTTPS_PROXY", "p"), ("NO_PROXY", "localhost, .example.com")], None),
            (API, &[("HTTPS_PROXY", "p"), ("no_proxy", "api.example.com")], None),
            (API, &[("HTTPS_PROXY", "p"), ("NO_PROXY", "*")], None),
            (API, &[("HTTPS_PROXY", "p"), ("NO_PROXY", "ample.com")], Some("HTTPS_PROXY")),
            ("http://[::1]:8080", &[("http_proxy", "p"), ("NO_PROXY", "::1")], None),
        ];
        for (url, env, expected) in cases {
            let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(proxy_for(url, lookup), expected, "{url} {env:?}");
        }
    }
}
