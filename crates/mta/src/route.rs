//! Where a recipient's mail goes next, decided from configuration and what the directory says; knows no DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mail::{Domain, ForwardPath, Host};

use crate::config::RelayHost;

/// The key of everything that goes to the mda.
pub const LOCAL: &str = "local";

/// Where a recipient's mail goes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// A mailbox here, by the mda.
    Local,
    /// A server named by configuration: a static route or the smart host.
    Relay(Arc<RelayHost>),
    /// The mail exchangers of a domain (RFC 5321 5.1).
    Exchangers(Domain),
    /// The host of an address literal (RFC 5321 4.1.3).
    Address(IpAddr),
}

impl NextHop {
    /// The key under which the queue keeps mail for this next hop: what shares a key shares connections and limits.
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        match self {
            Self::Local => Arc::from(LOCAL),
            Self::Relay(host) => Arc::from(format!("relay:{host}")),
            // A domain may have the name that stands for us.
            Self::Exchangers(domain) if domain.as_str() == LOCAL => Arc::from("local."),
            Self::Exchangers(domain) => Arc::from(domain.as_str()),
            Self::Address(address) => Arc::from(format!("[{address}]")),
        }
    }
}

/// What configuration says about next hops.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    by_domain: BTreeMap<String, Arc<RelayHost>>,
    smart_host: Option<Arc<RelayHost>>,
    sandbox: bool,
}

impl Routes {
    /// Routes by domain, of which `*.example.org` covers the domains below it, and a smart host for all the rest. In a
    /// sandbox the rest stays here instead.
    #[must_use]
    pub fn new(routes: &BTreeMap<String, RelayHost>, smart_host: Option<&RelayHost>, sandbox: bool) -> Self {
        let by_domain = routes.iter().map(|(d, host)| (d.to_lowercase(), Arc::new(host.clone()))).collect();
        Self { by_domain, smart_host: smart_host.cloned().map(Arc::new), sandbox }
    }

    /// The static route of a domain, which stands above what the directory says.
    #[must_use]
    pub fn static_route(&self, forward_path: &ForwardPath) -> Option<NextHop> {
        let domain = forward_path.mailbox()?.domain()?.as_str();
        if let Some(host) = self.by_domain.get(domain) {
            return Some(NextHop::Relay(Arc::clone(host)));
        }
        let mut below = domain;
        while let Some((_, parent)) = below.split_once('.') {
            if let Some(host) = self.by_domain.get(&format!("*.{parent}")) {
                return Some(NextHop::Relay(Arc::clone(host)));
            }
            below = parent;
        }
        None
    }

    /// The next hop of a recipient; `is_ours` is the directory's word.
    #[must_use]
    pub fn next_hop(&self, forward_path: &ForwardPath, is_ours: bool) -> NextHop {
        if let Some(route) = self.static_route(forward_path) {
            return route;
        }
        let Some(mailbox) = forward_path.mailbox().filter(|_| !is_ours && !self.sandbox) else {
            return NextHop::Local;
        };
        match (&self.smart_host, mailbox.host()) {
            (Some(host), _) => NextHop::Relay(Arc::clone(host)),
            (None, Host::Domain(domain)) => NextHop::Exchangers(domain.clone()),
            (None, Host::Literal(address)) => NextHop::Address(*address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RelayHost {
        text.parse().unwrap()
    }

    fn path(text: &str) -> ForwardPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_static_route_stands_above_all_else() {
        let table = BTreeMap::from([
            ("a.test".to_owned(), host("127.0.0.1:2600")),
            ("*.wild.test".to_owned(), host("wild.example")),
        ]);
        let routes = Routes::new(&table, Some(&host("smart.example:587")), false);
        let key = |text, ours| routes.next_hop(&path(text), ours).key().to_string();
        assert_eq!(key("<x@A.test>", true), "relay:127.0.0.1:2600");
        assert_eq!(key("<x@deep.wild.test>", false), "relay:wild.example:25");
        assert_eq!(key("<x@wild.test>", false), "relay:smart.example:587");
        assert_eq!(key("<x@ours.test>", true), LOCAL);
        assert_eq!(key("<Postmaster>", false), LOCAL);
        let routes = Routes::default();
        assert_eq!(routes.next_hop(&path("<x@local>"), false).key().to_string(), "local.");
    }

    #[test]
    fn without_configuration_dns_decides_and_a_sandbox_keeps_all() {
        let routes = Routes::new(&BTreeMap::new(), None, false);
        assert_eq!(
            routes.next_hop(&path("<x@b.test>"), false),
            NextHop::Exchangers("b.test".parse().unwrap())
        );
        assert_eq!(routes.next_hop(&path("<x@[192.0.2.1]>"), false).key().as_ref(), "[192.0.2.1]");
        let sandbox = Routes::new(&BTreeMap::new(), None, true);
        assert_eq!(sandbox.next_hop(&path("<x@b.test>"), false), NextHop::Local);
    }
}
