//! What the types of the table cannot say.

use service::config::ConfigError;

use crate::Limits;

impl Limits {
    /// Whether the limits can be meant.
    ///
    /// # Errors
    /// The first setting that cannot, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, length, longest) in [
            ("limits.ipv4_network", self.ipv4_network, 32),
            ("limits.ipv6_network", self.ipv6_network, 128),
            ("limits.ipv6_address", self.ipv6_address, 128),
        ] {
            if length == 0 || length > longest {
                let problem = format!("is the length of a prefix; write a number from 1 to {longest}");
                return Err(ConfigError::invalid(key, problem));
            }
        }
        if self.ipv6_address < self.ipv6_network {
            let problem = "an address would be more than its network; write at least limits.ipv6_network";
            return Err(ConfigError::invalid("limits.ipv6_address", problem));
        }
        if !(1..=100).contains(&self.memory_percent) {
            return Err(ConfigError::invalid("limits.memory_percent", "write a number from 1 to 100"));
        }
        if self.tracked < 1000 {
            let problem = "who is forgotten so soon is not limited; write at least 1000";
            return Err(ConfigError::invalid("limits.tracked", problem));
        }
        for (key, time) in [
            ("limits.ban_decay", self.ban_decay),
            ("limits.handshake_time", self.handshake_time),
            ("limits.session_time", self.session_time),
            ("limits.line_time", self.line_time),
            ("limits.message_time", self.message_time),
            ("limits.content_window", self.content_window),
            ("limits.proxy_time", self.proxy_time),
        ] {
            if time.is_zero() {
                return Err(ConfigError::invalid(key, "nobody is that fast; write more"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::Duration;

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        assert!(Limits::default().check().is_ok());
        let wrong = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        assert!(wrong(|limits| limits.ipv4_network = 33).starts_with("limits.ipv4_network: "));
        assert!(wrong(|limits| limits.ipv6_address = 48).starts_with("limits.ipv6_address: "));
        assert!(wrong(|limits| limits.memory_percent = 0).starts_with("limits.memory_percent: "));
        assert!(wrong(|limits| limits.tracked = 0).starts_with("limits.tracked: "));
        assert!(wrong(|limits| limits.line_time = Duration::default()).starts_with("limits.line_time: "));
    }
}
