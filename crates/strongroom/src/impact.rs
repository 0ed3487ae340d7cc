//! `kms impact`: what becomes unreadable with a key. Asks the running server, one page after the
//! other, or reads the store itself while none runs.

mod report;
mod source;

use strongroom_audit::Params;
use strongroom_ports::Clock as _;

use self::report::{Report, text};
use self::source::KeyShown;
pub(crate) use self::source::{ImpactAnswer, ImpactAsk, ImpactSource};
use crate::adapters::SystemClock;
use crate::admin::{Answer, Request, ask};
use crate::cli::kms::ImpactArgs;
use crate::commands::{unexpected, with_accounts};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use crate::unseal::Environment;

/// How the store is asked.
type Asking<'a> = dyn FnMut(&ImpactAsk) -> Result<ImpactAnswer, Failure> + 'a;

/// Counts, and says what was found.
///
/// # Errors
///
/// [`Exit::InUse`] if asked so and something depends on the key; [`Exit::Store`] if it cannot be
/// known; [`Exit::General`] if there is no such key and nothing under it.
pub(crate) fn run(
    settings: &Settings,
    args: &ImpactArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    // It begins here, so that a server that is slow to answer is seen to work.
    let mut bar = Bar::new("kms impact");
    let report = whole(settings, args, environment, &mut bar);
    bar.end();
    let report = report?;
    if !report.key.is_there() && !report.in_use && report.damaged_rows == 0 {
        return Err(Failure::new(
            Exit::General,
            format!(
                "there is no key {}, and nothing is encrypted under it",
                report.key.arn
            ),
            "see which there are: aws kms list-keys; a key of another account is named by its ARN",
        ));
    }
    if args.json {
        output::say(&serde_json::to_string_pretty(&report).map_err(|_| unexpected())?)?;
    } else {
        output::say(text(&report).trim_end())?;
    }
    if report.damaged_rows > 0 {
        return Err(Failure::new(
            Exit::Store,
            format!(
                "{} rows do not verify: what they need is not known",
                report.damaged_rows
            ),
            "the log names each; restore them from a backup",
        ));
    }
    if args.fail_if_used && report.in_use {
        return Err(Failure::new(
            Exit::InUse,
            format!("something depends on the key {}", report.key.arn),
            "encrypt it under another key first: strongroom reencrypt",
        ));
    }
    Ok(())
}

fn whole(
    settings: &Settings,
    args: &ImpactArgs,
    environment: Environment<'_>,
    bar: &mut Bar,
) -> Result<Report, Failure> {
    let first = ImpactAsk::Key {
        key: args.key.clone(),
    };
    match asked(settings, &first)? {
        Some(ImpactAnswer::Key(key)) => {
            let mut asking = |ask: &ImpactAsk| {
                asked(settings, ask)?.ok_or_else(|| {
                    Failure::new(
                        Exit::General,
                        "the server has stopped",
                        "run the command again",
                    )
                })
            };
            count(*key, &mut asking, bar)
        }
        Some(_) => Err(unexpected()),
        None => off_line(settings, (&args.key, &first), environment, bar),
    }
}

/// Asks the running server; `None` if there is none.
fn asked(settings: &Settings, impact: &ImpactAsk) -> Result<Option<ImpactAnswer>, Failure> {
    let request = Request::Impact {
        ask: impact.clone(),
    };
    match ask(&settings.data.admin_socket(), &request)? {
        Some(Answer::Impact { found }) => Ok(Some(found)),
        Some(_) => Err(unexpected()),
        None => Ok(None),
    }
}

fn off_line(
    settings: &Settings,
    (key, first): (&str, &ImpactAsk),
    environment: Environment<'_>,
    bar: &mut Bar,
) -> Result<Report, Failure> {
    let look = ("AssessKeyImpact", Params::new().text("keyId", key));
    with_accounts(settings, environment, Some(look), |accounts, account| {
        let rows = accounts.sealed_rows();
        let source = ImpactSource {
            rows: &rows,
            home: (account.id, &account.region),
            now: SystemClock::new().now(),
            kms: None,
        };
        let ImpactAnswer::Key(key) = source.answer(first)? else {
            return Err(unexpected());
        };
        count(*key, &mut |ask| source.answer(ask), bar)
    })
}

/// Walks through everything that may depend on the key.
fn count(key: KeyShown, asking: &mut Asking<'_>, bar: &mut Bar) -> Result<Report, Failure> {
    let (mut total, mut from) = (0_u64, None);
    loop {
        let ImpactAnswer::Counted { count, next } = asking(&ImpactAsk::Count { from })? else {
            return Err(unexpected());
        };
        total = total.saturating_add(count);
        bar.show(&format!("{total} rows to look at"), 0, total);
        if next.is_none() {
            break;
        }
        from = next;
    }
    let arn = key.arn.clone();
    let mut report = Report::new(key);
    let mut from = None;
    loop {
        let ask = ImpactAsk::Page {
            arn: arn.clone(),
            from,
        };
        let ImpactAnswer::Page(page) = asking(&ask)? else {
            return Err(unexpected());
        };
        let next = page.next.clone();
        report.add(*page);
        let looked_at = report.looked_at;
        let what = format!(
            "{looked_at} of {} rows, {} versions under the key",
            total.max(looked_at),
            report.unreadable.counts.versions
        );
        bar.show(&what, looked_at, total.max(looked_at));
        if next.is_none() {
            return Ok(report.finish());
        }
        from = next;
    }
}
