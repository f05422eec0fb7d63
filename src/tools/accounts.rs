//! Accounts that a call acts on: which is meant, and what is told of them.

use std::fmt::Write as _;

use serde_json::{Map, Value, json, value::RawValue};

use super::text::cut;
use crate::{
    config::OnAmbiguous,
    membrane::{Account, AccountState, Accounts, Catalog, Tool, call::Target, noted::account_argument},
    protocol::{json as raw_json, members::Members, tools::CallToolResult},
    search::Access,
};

/// Bytes of an account's name that a model made up, in an answer.
const MAX_NAMED: usize = 100;

/// Accounts of a tool's app, with the app's name.
#[derive(Debug)]
pub(super) struct OfApp {
    app: String,
    accounts: Accounts,
}

impl OfApp {
    /// Returns the accounts of a tool's app.
    pub(super) fn of(catalog: &Catalog, tool: &Tool) -> Self {
        let key = tool.integration();
        Self {
            app: catalog.part(key).map_or(key.as_str(), |part| part.tools.name()).to_owned(),
            accounts: catalog.accounts(key).cloned().unwrap_or_default(),
        }
    }

    /// Returns them only where there is something to choose or to tell, so that the calls of most users need not carry them.
    pub(super) fn where_it_counts(catalog: &Catalog, tool: &Tool) -> Option<Self> {
        let accounts = catalog.accounts(tool.integration())?;
        (accounts.takes_argument() || accounts.are_told()).then(|| Self::of(catalog, tool))
    }
}

/// Chooses the account that a call acts on. It is `named` apart from the arguments, or by one of them, which is taken out: the
/// upstream's action knows nothing of it.
///
/// # Errors
/// The result for a call that names no account, or none that there is.
pub(super) fn aim(
    tool: &Tool,
    OfApp { app, accounts }: &OfApp,
    named: Option<&str>,
    arguments: Box<RawValue>,
    on_ambiguous: OnAmbiguous,
) -> Result<(Target, Box<RawValue>), CallToolResult> {
    let (named, arguments) = match named {
        Some(named) => (Some(named.to_owned()), arguments),
        None => take(tool, accounts, arguments),
    };
    let refused = |why: String| Err(refusal(tool, accounts, &why));
    let chosen = match &named {
        Some(named) => match accounts.find(named) {
            Some(account) => Some(account),
            None if accounts.had(named) => {
                return refused(format!("The {app} account {} is no longer connected.", quoted(named)));
            }
            None => return refused(format!("The user has no {app} account {}.", quoted(named))),
        },
        None if !accounts.are_several() => None,
        None if tool.access() == Access::Read || on_ambiguous == OnAmbiguous::Default => accounts.default_choice(),
        None => return refused(format!("{} writes, and the user has several {app} accounts.", tool.name())),
    };
    // With one account the upstream finds it by itself.
    let chosen = chosen.filter(|_| accounts.are_several());
    let lost = match chosen {
        None => accounts.lost().map(|_| format!("{app} is disconnected: the user has to connect it again.")),
        Some(account) => (account.state() == AccountState::Reconnect).then(|| {
            let handle = account.handle();
            format!("The {app} account {handle} is disconnected: the user has to connect it again.")
        }),
    };
    let target = Target {
        connection: chosen.map(|account| account.id().to_owned()),
        account: chosen.map(|account| account.handle().to_owned()),
        lost,
    };
    Ok((target, arguments))
}

/// Takes the account out of arguments. Where the argument can't be meant for this server, they stay as they are, byte for byte.
fn take(tool: &Tool, accounts: &Accounts, arguments: Box<RawValue>) -> (Option<String>, Box<RawValue>) {
    if !accounts.takes_argument() {
        return (None, arguments);
    }
    let Some(mut members) = Members::read(&arguments) else { return (None, arguments) };
    let Some(value) = members.take(&account_argument(tool)) else { return (None, arguments) };
    let named = match serde_json::from_str::<Value>(value.get()) {
        Ok(Value::String(named)) => Some(named),
        // As some vendors' clients send an argument that is not given.
        Ok(Value::Null) => None,
        _ => Some(value.get().to_owned()),
    };
    // With one account left there is nothing to choose any more, and an action may well take members of any name.
    let is_meant = accounts.are_several()
        || named.as_ref().is_some_and(|named| accounts.had(named) || accounts.find(named).is_some());
    if !is_meant {
        return (None, arguments);
    }
    let rest = members.to_raw();
    (named, rest)
}

/// Returns the result for a call that can't be aimed, with the accounts that there are.
fn refusal(tool: &Tool, accounts: &Accounts, why: &str) -> CallToolResult {
    let mut text = format!("{why} The action was not run.");
    if accounts.are_several() {
        let argument = account_argument(tool);
        // A runner has an argument of its own, which is always called `account`.
        let argument = if argument == "account" { argument } else { format!("account of a runner, or {argument}") };
        let _ = write!(text, " Name one of these in {argument}, as the user wants it:");
        for account in several(accounts) {
            let _ = write!(text, "\n{account}");
        }
    } else if let Some(only) = accounts.default_choice() {
        let _ = write!(text, " There is one account: {}. Calls need not name it.", only.handle());
    }
    CallToolResult::failure(text)
}

/// Returns a word of a model as it can be told again.
pub(super) fn quoted(named: &str) -> String {
    raw_json::to_string(&cut(named, MAX_NAMED))
}

/// Returns the accounts of an app among which a call can choose; nothing where there is one.
pub(super) fn several(accounts: &Accounts) -> Vec<Value> {
    if !accounts.are_several() {
        return Vec::new();
    }
    let default = accounts.default_choice().map(Account::handle);
    let described = accounts.choices().map(|account| {
        let mut described = Map::new();
        described.insert("account".to_owned(), json!(account.handle()));
        if !account.name().is_empty() && account.name() != account.handle() {
            described.insert("name".to_owned(), json!(account.name()));
        }
        if default == Some(account.handle()) {
            described.insert("default".to_owned(), json!(true));
        }
        if account.state() != AccountState::Connected {
            described.insert("status".to_owned(), json!(account.state().word()));
        }
        Value::Object(described)
    });
    described.collect()
}

/// Returns what an answer says of an app: its state, why it can't be used, and the accounts where there are several.
pub(super) fn described(name: &str, accounts: Option<&Accounts>) -> Value {
    let state = accounts.map_or(AccountState::Connected, Accounts::state);
    let mut described = Map::new();
    described.insert("status".to_owned(), json!(state.word()));
    described.insert("name".to_owned(), json!(name));
    let reason = accounts.into_iter().flat_map(Accounts::iter).find_map(Account::reason);
    if let Some(reason) = reason.filter(|_| state != AccountState::Connected) {
        described.insert("reason".to_owned(), json!(reason));
    }
    let several = accounts.map(several).unwrap_or_default();
    if !several.is_empty() {
        described.insert("accounts".to_owned(), several.into());
    }
    described.into()
}
