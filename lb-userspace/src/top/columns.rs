//! Columns of the tables. As many are shown as fit, those of a terminal of 80 columns at least.

use lb_model::connections::Order;

/// A table of the drill-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Services,
    Backends,
    Connections,
    Warnings,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// On the right.
    Number,
    /// In as many lines as it needs. Only the last column is.
    Prose,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Width, but for the last column that fits, which takes the rest.
    pub(super) width: u16,
    pub(super) kind: Kind,
    /// True if the greatest come first, unless the order is reversed.
    pub(super) is_descending: bool,
    /// True if it is empty without `limits.accounting`.
    is_of_accounts: bool,
    /// Order of the daemon's list that has the first of this column.
    pub(super) order: Option<Order>,
}

impl Level {
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Services => SERVICES,
            Self::Backends => BACKENDS,
            Self::Connections => CONNECTIONS,
            Self::Warnings => WARNINGS,
        }
    }

    /// Returns the columns, those of accounts only if there are any. They are the last.
    pub(super) fn columns_with(self, has_accounts: bool) -> &'static [Column] {
        let all = self.columns();
        let is_shown = |column: &&Column| has_accounts || !column.is_of_accounts;
        &all[..all.iter().take_while(is_shown).count()]
    }

    /// Returns the column by which a table is sorted at first.
    pub(super) fn first_sort(self) -> usize {
        match self {
            Self::Services | Self::Backends => 1,
            // The busiest.
            Self::Connections => 5,
            Self::Warnings => 0,
        }
    }
}

const fn text(title: &'static str, width: u16) -> Column {
    Column {
        title,
        width,
        kind: Kind::Text,
        is_descending: false,
        is_of_accounts: false,
        order: None,
    }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { kind: Kind::Number, is_descending: true, ..text(title, width) }
}

const fn time(title: &'static str, width: u16, order: Option<Order>) -> Column {
    Column { kind: Kind::Number, order, ..text(title, width) }
}

const fn account(title: &'static str, width: u16, order: Option<Order>) -> Column {
    Column { is_of_accounts: true, order, ..number(title, width) }
}

const MARK: Column = Column { is_descending: true, ..text("!", 1) };

const SERVICES: &[Column] = &[
    MARK,
    text("SERVICE", 14),
    text("VIP", 21),
    number("UP", 7),
    number("ACTIVE", 8),
    number("NEW/s", 6),
    number("PKT/s", 6),
    number("BIT/s", 6),
    number("TOTAL", 10),
    text("SCHEDULER", 17),
    text("WARNINGS", 20),
];

const BACKENDS: &[Column] = &[
    MARK,
    text("BACKEND", 21),
    text("HEALTH", 7),
    time("SINCE", 7, None),
    text("STATE", 10),
    number("ACTIVE", 8),
    number("NEW/s", 5),
    number("PKT/s", 5),
    number("BIT/s", 5),
    // The median.
    number("HANDSHAKE", 9),
    number("WEIGHT", 6),
    number("TOTAL", 10),
    text("LAST CHECK", 20),
];

const CONNECTIONS: &[Column] = &[
    MARK,
    text("CLIENT", 21),
    text("SOURCE", 21),
    text("STATE", 11),
    time("AGE", 7, Some(Order::Age)),
    time("IDLE", 7, Some(Order::Idle)),
    account("BYTES", 5, Some(Order::Bytes)),
    account("PACKETS", 7, None),
];

/// In the daemon's order, unless the user wants another one.
const WARNINGS: &[Column] =
    &[time("#", 3, None), Column { kind: Kind::Prose, ..text("WARNING", 20) }];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_columns_fit_into_80() {
        for (level, last) in [
            (Level::Services, "BIT/s"),
            (Level::Backends, "BIT/s"),
            (Level::Connections, "BYTES"),
            (Level::Warnings, "WARNING"),
        ] {
            let columns = level.columns();
            let place = columns.iter().position(|one| one.title == last).expect("a column");
            let width: u16 = columns[..=place].iter().map(|one| one.width + 1).sum();
            assert!(width - 1 <= 80, "{level:?}: {width}");
        }
    }
}
