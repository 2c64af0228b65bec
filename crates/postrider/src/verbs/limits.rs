//! `postrider account limit` and `show`: how much an account may submit, and what it has.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::str::FromStr;

use clap::Args;
use mail::quota::{LimitChange, LimitView, Measure};
use mail::{AccountView, Limit};
use service::config::ByteSize;

use crate::output::{Show, Style, size, table};

/// How much an account may submit; what is not named stays as it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Limits {
    /// Messages within an hour
    #[arg(long, value_name = "N|none|default")]
    messages_per_hour: Option<Allowed>,
    /// Messages within a day
    #[arg(long, value_name = "N|none|default")]
    messages_per_day: Option<Allowed>,
    /// Recipients of all messages within an hour
    #[arg(long, value_name = "N|none|default")]
    recipients_per_hour: Option<Allowed>,
    /// Recipients of all messages within a day
    #[arg(long, value_name = "N|none|default")]
    recipients_per_day: Option<Allowed>,
    /// Content of all messages within an hour, as in 100MiB
    #[arg(long, value_name = "SIZE|none|default")]
    octets_per_hour: Option<AllowedOctets>,
    /// Content of all messages within a day, as in 1GiB
    #[arg(long, value_name = "SIZE|none|default")]
    octets_per_day: Option<AllowedOctets>,
}

impl Limits {
    /// What is to be changed.
    pub(crate) fn changes(&self) -> Vec<(Limit, LimitChange)> {
        let allowed = [
            self.messages_per_hour.map(|allowed| allowed.0),
            self.messages_per_day.map(|allowed| allowed.0),
            self.recipients_per_hour.map(|allowed| allowed.0),
            self.recipients_per_day.map(|allowed| allowed.0),
            self.octets_per_hour.map(|allowed| allowed.0),
            self.octets_per_day.map(|allowed| allowed.0),
        ];
        Limit::ALL.into_iter().zip(allowed).filter_map(|(limit, change)| Some((limit, change?))).collect()
    }
}

/// A number, `none` (as 0 is) or `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowed(LimitChange);

impl FromStr for Allowed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        change(text, number).map(Self)
    }
}

/// A size, `none` or `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AllowedOctets(LimitChange);

impl FromStr for AllowedOctets {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let octets = |text: &str| text.parse::<ByteSize>().map(ByteSize::get);
        change(text, octets).map(Self)
    }
}

fn change(text: &str, amount: impl Fn(&str) -> Result<u64, String>) -> Result<LimitChange, String> {
    match text {
        "default" => Ok(LimitChange::Default),
        "none" => Ok(LimitChange::Unlimited),
        text => Ok(NonZeroU64::new(amount(text)?).map_or(LimitChange::Unlimited, LimitChange::AtMost)),
    }
}

impl Show for AccountView {
    fn text(&self, style: Style) -> String {
        let account = &self.account;
        let mut text = style.bold(&account.address.to_string());
        let list = |all: Vec<String>| if all.is_empty() { "–".to_owned() } else { all.join(", ") };
        let aliases = list(account.may_send_as.iter().map(ToString::to_string).collect());
        let granted = list(account.granted.iter().map(ToString::to_string).collect());
        let since = account.created_at;
        // Writing to a String cannot fail.
        let _ = write!(text, "\nSince:    {since}\nAliases:  {aliases}\nGranted:  {granted}\n\n");
        let row = |view: &LimitView| {
            let amount = |amount| match view.limit.measure {
                Measure::Octets => size(amount),
                Measure::Messages | Measure::Recipients => amount.to_string(),
            };
            let allowed = view.allowed.map_or_else(|| "no limit".to_owned(), amount);
            let whose = if view.own { "its own" } else { "default" };
            [view.limit.name().replace('_', " "), allowed, whose.to_owned(), amount(view.used)]
        };
        let rows: Vec<_> = self.limits.iter().map(row).collect();
        text.push_str(&table(style, ["LIMIT", "ALLOWED", "SET BY", "USED"], &rows, "No limits."));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_sizes_none_or_the_default() {
        let at_most = |amount| LimitChange::AtMost(NonZeroU64::new(amount).unwrap());
        assert_eq!("100".parse(), Ok(Allowed(at_most(100))));
        assert_eq!("none".parse(), Ok(Allowed(LimitChange::Unlimited)));
        assert_eq!("0".parse(), Ok(Allowed(LimitChange::Unlimited)));
        assert_eq!("default".parse(), Ok(Allowed(LimitChange::Default)));
        assert_eq!("1GiB".parse(), Ok(AllowedOctets(at_most(1 << 30))));
        for wrong in ["", "-1", "many", "1GiB"] {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
        assert!("1 cup".parse::<AllowedOctets>().is_err());
    }

    #[test]
    fn an_account_is_shown_with_what_it_used() {
        let address = "alice@example.org".parse().unwrap();
        let mut account = mail::Account::new(address, mail::Timestamp::from_millis(0));
        account.granted.push("*@shop.example".parse().unwrap());
        let view = |limit: Limit| LimitView {
            limit,
            allowed: (limit == Limit::ALL[5]).then_some(1 << 30),
            own: limit == Limit::ALL[5],
            used: 2048,
        };
        let view = AccountView { account, limits: Limit::ALL.map(view).to_vec() };
        let text = view.text(Style::default());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "alice@example.org",
                "Since:    1970-01-01T00:00:00Z",
                "Aliases:  –",
                "Granted:  *@shop.example"
            ]
        );
        assert_eq!(lines[6], "messages per hour    no limit  default  2048");
        assert_eq!(lines[11], "octets per day       1.0 GiB   its own  2.0 KiB");
    }
}
