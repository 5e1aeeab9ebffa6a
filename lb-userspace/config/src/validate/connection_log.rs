//! The connection log.

use std::path::Path;

use lb_model::{ConnectionLog, LineFormat, LogTarget};

use super::{names_of_services, required};
use crate::{
    diagnostics::{Diagnostic, Findings},
    located::Located,
    schema,
};

pub(crate) const MOST_PER_SECOND: u32 = 1_000_000;

const EXAMPLE: &str = "\"/var/log/xdplb/connections.log\", or to = \"log\" for the daemon's log";

pub(crate) fn connection_log(
    table: Option<&Located<schema::ConnectionLog>>,
    services: &[Located<schema::Service>],
    findings: &mut Findings,
) -> Option<ConnectionLog> {
    let table = table?;
    let said = table.get_ref();
    let services = names_of_services(said.services.as_ref(), services, findings);
    let per_second = per_second(said.per_second.as_ref(), findings);
    let to = required(said.to.as_ref(), "to", EXAMPLE, table.span(), findings)?;
    let to = target(to, findings);
    if let (LogTarget::Log, Some(format)) = (&to, &said.format) {
        let message = "the daemon's log has its own format";
        let fix = "remove it: `xdplb run --log-format` sets that one";
        findings.push(Diagnostic::error(format.span(), message, fix));
    }
    Some(ConnectionLog {
        to,
        format: said.format.as_ref().map_or(LineFormat::default(), |format| *format.get_ref()),
        services,
        unfinished: said.unfinished.as_ref().is_some_and(|is_on| *is_on.get_ref()),
        per_second,
    })
}

fn target(to: &Located<String>, findings: &mut Findings) -> LogTarget {
    let said = to.get_ref();
    if said == LogTarget::LOG {
        return LogTarget::Log;
    }
    let path = Path::new(said);
    let fault = if !path.is_absolute() || said.contains('\0') {
        Some("this is neither an absolute path nor `log`")
    } else if said.ends_with('/') {
        Some("this is a directory")
    } else {
        None
    };
    if let Some(message) = fault {
        findings.push(Diagnostic::error(to.span(), message, format!("give to = {EXAMPLE}")));
    }
    LogTarget::File(path.to_owned())
}

fn per_second(given: Option<&Located<u64>>, findings: &mut Findings) -> u32 {
    let Some(given) = given else { return ConnectionLog::PER_SECOND };
    match u32::try_from(*given.get_ref()) {
        Ok(rate) if (1..=MOST_PER_SECOND).contains(&rate) => rate,
        _ => {
            let message = format!("{} is out of range", given.get_ref());
            let fix = format!("connection_log.per_second is 1 to {MOST_PER_SECOND}");
            findings.push(Diagnostic::error(given.span(), message, fix));
            ConnectionLog::PER_SECOND
        }
    }
}
