//! AUTH as a client drives it. What is said in it `sasl` knows; the observer sees none of it.

use super::wire::Wire;
use super::{Error, accepted};
use crate::dialogue::Step;
use crate::sasl::{ClientExchange, ClientFault};

/// Most challenges of one exchange; no mechanism of ours has more than two.
const CHALLENGES: usize = 4;

pub(super) async fn run(wire: &mut Wire, mut exchange: ClientExchange) -> Result<(), Error> {
    let name = exchange.mechanism().name();
    let (command, shown) = match exchange.initial() {
        Some(initial) => (format!("AUTH {name} {initial}"), format!("AUTH {name} ***")),
        None => (format!("AUTH {name}"), format!("AUTH {name}")),
    };
    let mut reply = wire.command_shown(Step::Auth, &command, &shown).await?;
    let mut fault = None;
    for _ in 0..CHALLENGES {
        if reply.code() != 334 {
            break;
        }
        let challenge = reply.text().to_owned();
        // SCRAM can take a second of hashing, which no other task should wait for.
        let answered = tokio::task::spawn_blocking(move || {
            let response = exchange.respond(&challenge);
            (exchange, response)
        });
        let response;
        (exchange, response) = answered.await.map_err(|_| failed(ClientFault::Malformed))?;
        let line = response.unwrap_or_else(|why| {
            fault = Some(why);
            // Hears the refusal that follows, or cancels (RFC 4954 4).
            if why == ClientFault::Denied { String::new() } else { "*".to_owned() }
        });
        reply = wire.command_shown(Step::Auth, &line, "***").await?;
        if let Some(fault) = fault {
            // The server's word on it counts, unless it takes a failed exchange for a good one.
            accepted(Step::Auth, reply)?;
            return Err(failed(fault));
        }
    }
    accepted(Step::Auth, reply)?;
    exchange.finish().map_err(failed)
}

fn failed(fault: ClientFault) -> Error {
    Error::Protocol { step: Step::Auth, source: fault.into() }
}
