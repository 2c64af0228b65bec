//! From a domain to the servers that take its mail, by the rules of RFC 5321 5.1 and RFC 7505. The only place that knows DNS.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use mail::{Domain, Status};
use rand::seq::SliceRandom;
use tracing::Instrument;

use crate::config::Dns;

/// Exchangers of a domain whose addresses are asked for: an answer may name thousands, and each costs two questions.
const LOOKUPS: usize = 20;

/// A host to talk to, with its addresses in the order to try them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The name that its certificate should have.
    pub name: String,
    /// At least one.
    pub addresses: Vec<IpAddr>,
}

/// Asks DNS where mail goes.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
    /// Our own name: mail exchangers from here on would send in circles.
    own_name: String,
    hosts: usize,
}

/// An MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exchanger {
    preference: u16,
    name: String,
}

impl Resolver {
    /// A resolver that asks the configured servers, or the system's. At most `hosts` servers are returned for a domain.
    ///
    /// # Errors
    /// When the system's configuration cannot be read.
    pub fn new(settings: &Dns, own_name: &str, hosts: usize) -> Result<Self, NetError> {
        let mut builder = if settings.servers.is_empty() {
            Hickory::builder_tokio()?
        } else {
            let servers = settings.servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Hickory::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = settings.timeout.get();
        options.attempts = settings.attempts;
        options.cache_size = settings.cache;
        options.max_active_requests = settings.questions;
        options.use_hosts_file = ResolveHosts::Never;
        Ok(Self { hickory: builder.build()?, own_name: own_name.to_lowercase(), hosts })
    }

    /// The servers of a domain, best first; hosts of equal preference in random order.
    ///
    /// # Errors
    /// A status that delays, when DNS does not answer, or fails, when the domain takes no mail.
    pub async fn exchangers(&self, domain: &Domain) -> Result<Vec<Destination>, Status> {
        let name = domain.to_ascii().map_err(|_| {
            Status::new(
                553,
                (5, 1, 2),
                format!("the domain {domain} cannot be looked up: it is no valid name"),
            )
        })?;
        let span = tracing::info_span!("dns.lookup", dns.question.name = %name, dns.question.type = "MX");
        let exchangers = self.mail_exchangers(&name).instrument(span).await?;
        let mut destinations = Vec::new();
        let mut trouble = None;
        for exchanger in &exchangers {
            if destinations.len() == self.hosts {
                break;
            }
            match self.addresses(&exchanger.name).await {
                Ok(addresses) => destinations.push(Destination { name: exchanger.name.clone(), addresses }),
                Err(status) => trouble = trouble.filter(Status::is_transient).or(Some(status)),
            }
        }
        match trouble {
            Some(status) if destinations.is_empty() => Err(status),
            _ => Ok(destinations),
        }
    }

    /// A host named by configuration or by an MX record: its addresses, IPv4 first.
    ///
    /// # Errors
    /// As [`Self::exchangers`].
    pub async fn host(&self, name: &str) -> Result<Destination, Status> {
        let addresses = match name.parse() {
            Ok(address) => vec![address],
            Err(_) if name == "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
            Err(_) => self.addresses(name).await?,
        };
        Ok(Destination { name: name.to_owned(), addresses })
    }

    async fn mail_exchangers(&self, name: &str) -> Result<Vec<Exchanger>, Status> {
        let records = match self.hickory.lookup(format!("{name}."), RecordType::MX).await {
            Ok(lookup) => lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::MX(mx) => Some(Exchanger {
                        preference: mx.preference,
                        name: mx.exchange.to_ascii().trim_end_matches('.').to_lowercase(),
                    }),
                    _ => None,
                })
                .collect(),
            Err(error) if error.is_nx_domain() => {
                return Err(Status::new(550, (5, 1, 2), format!("the domain {name} does not exist")));
            }
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(unanswered(name, &error)),
        };
        select(name, records, &self.own_name)
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Status> {
        let span = tracing::info_span!("dns.lookup", dns.question.name = %name, dns.question.type = "A,AAAA");
        let ask = |record_type| self.hickory.lookup(format!("{name}."), record_type);
        let (v4, v6) =
            async { tokio::join!(ask(RecordType::A), ask(RecordType::AAAA)) }.instrument(span).await;
        let mut addresses = Vec::new();
        let mut trouble = None;
        for answer in [v4, v6] {
            match answer {
                Ok(lookup) => addresses.extend(lookup.answers().iter().filter_map(|r| r.data.ip_addr())),
                Err(error) if error.is_nx_domain() || error.is_no_records_found() => {}
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(error) => Err(unanswered(name, &error)),
            None => Err(Status::new(550, (5, 4, 4), format!("the mail server {name} has no address"))),
        }
    }
}

/// The rules of RFC 5321 5.1 on a domain's MX records; none at all stands for the domain itself.
fn select(name: &str, mut records: Vec<Exchanger>, own_name: &str) -> Result<Vec<Exchanger>, Status> {
    if records.is_empty() {
        records.push(Exchanger { preference: 0, name: name.to_owned() });
    }
    if records.iter().all(|record| record.name.is_empty()) {
        return Err(Status::new(556, (5, 1, 10), format!("the domain {name} accepts no mail (null MX)")));
    }
    records.retain(|record| !record.name.is_empty());
    records.shuffle(&mut rand::rng());
    records.sort_by_key(|record| record.preference);
    if let Some(own) = records.iter().find(|record| record.name == own_name).map(|record| record.preference) {
        records.retain(|record| record.preference < own);
        if records.is_empty() {
            let text = format!("mail for {name} comes back to this host, which does not know the domain");
            return Err(Status::new(554, (5, 4, 6), text));
        }
    }
    records.dedup_by(|a, b| a.name == b.name);
    records.truncate(LOOKUPS);
    Ok(records)
}

fn unanswered(name: &str, error: &NetError) -> Status {
    Status::new(451, (4, 4, 3), format!("the name {name} could not be looked up: {error}"))
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp]
        .into_iter()
        .map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = server.port();
            connection
        })
        .collect();
    NameServerConfig::new(server.ip(), true, connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, name: &str) -> Exchanger {
        Exchanger { preference, name: name.to_owned() }
    }

    fn names(result: Result<Vec<Exchanger>, Status>) -> Vec<String> {
        result.unwrap().into_iter().map(|record| record.name).collect()
    }

    #[test]
    fn preference_decides_and_equal_ones_take_turns() {
        assert_eq!(names(select("d", vec![mx(20, "b"), mx(10, "a")], "me")), ["a", "b"]);
        let mut firsts: Vec<_> =
            (0..64).map(|_| names(select("d", vec![mx(10, "a"), mx(10, "b")], "me"))[0].clone()).collect();
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts, ["a", "b"]);
    }

    #[test]
    fn no_mx_is_the_domain_itself_and_a_null_mx_refuses() {
        assert_eq!(names(select("d", vec![], "me")), ["d"]);
        assert_eq!(select("d", vec![mx(0, "")], "me").unwrap_err().enhanced.to_string(), "5.1.10");
    }

    #[test]
    fn an_answer_of_thousands_asks_few_questions() {
        let all = (0..3000).map(|number| mx(number, &format!("mx{number}"))).collect();
        let asked = names(select("d", all, "me"));
        assert_eq!((asked.len(), asked[0].as_str()), (LOOKUPS, "mx0"));
    }

    #[test]
    fn servers_from_our_own_rank_on_are_left_out() {
        assert_eq!(
            names(select("d", vec![mx(20, "me"), mx(10, "a"), mx(20, "b"), mx(30, "c")], "me")),
            ["a"]
        );
        assert_eq!(select("d", vec![mx(10, "me")], "me").unwrap_err().enhanced.to_string(), "5.4.6");
    }
}
