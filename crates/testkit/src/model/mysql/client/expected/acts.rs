//! Statements: what each does to the picture, and what it gives.

use super::{Cell, Picture, Rows, Shape, Transaction};
use crate::model::mysql::Flavor;
use crate::model::mysql::client::script::Act;

fn plain() -> Shape {
    Shape::Ok {
        affected: 0,
        numbered: false,
    }
}

impl Picture {
    /// The results of a statement that stands as it is.
    pub(super) fn statement(&mut self, act: &Act) -> Vec<Shape> {
        self.begin_statement(Some(act));
        if let Some(code) = self.wrong(act) {
            return vec![self.failed(code)];
        }
        if let Act::CallRows(tag) = act {
            let rows = self.one_row(Cell::Text(tag.clone()));
            self.row_count = None;
            return vec![rows, plain()];
        }
        vec![self.one(act)]
    }

    /// The result of a statement that has one.
    pub(super) fn one(&mut self, act: &Act) -> Shape {
        if let Some(value) = self.selected(act) {
            return self.one_row(value);
        }
        if let Some(shape) = self.done(act) {
            return shape;
        }
        self.row_count = Some(0);
        plain()
    }

    pub(super) fn one_row(&mut self, value: Cell) -> Shape {
        self.row_count = Some(-1);
        Shape::Rows {
            columns: 1,
            rows: Rows::All(vec![vec![value]]),
        }
    }

    /// Statements that select one value.
    fn selected(&mut self, act: &Act) -> Option<Cell> {
        Some(match act {
            Act::Tag(tag) | Act::Quoted(tag) | Act::Touch(tag) => Cell::Text(tag.clone()),
            Act::Backslash(tag) => Cell::Text(format!("{tag}\\")),
            Act::AssignUser { name, tag } => {
                self.user.insert(name, tag.clone());
                Cell::Text(tag.clone())
            }
            Act::GetUser(name) => match self.user.get(name) {
                Some(tag) => Cell::Text(tag.clone()),
                None => Cell::Null,
            },
            Act::GetLock(number) => {
                *self.locks.entry(*number).or_default() += 1;
                Cell::Int(1)
            }
            Act::ReleaseLock(number) => match self.locks.get_mut(number) {
                Some(count) => {
                    *count -= 1;
                    if *count == 0 {
                        self.locks.remove(number);
                    }
                    Cell::Int(1)
                }
                None => Cell::Null,
            },
            Act::ReleaseAllLocks => {
                let held: u32 = std::mem::take(&mut self.locks).values().sum();
                Cell::Int(held.into())
            }
            Act::Database => match &self.database {
                Some(database) => Cell::Text(database.clone()),
                None => Cell::Null,
            },
            Act::Collation => Cell::Text(self.charsets.collation.clone()),
            Act::LastInsertId => Cell::LastInsertId,
            Act::RowCount => self.row_count.map_or(Cell::Any, Cell::Int),
            Act::Warn(tag) => {
                let text = format!("Truncated incorrect INTEGER value: '{tag}'");
                self.warnings.push(("Warning", 1292, Some(text)));
                Cell::Int(0)
            }
            _ => return None,
        })
    }

    /// Statements that do something or select more; none where a plain OK is all.
    fn done(&mut self, act: &Act) -> Option<Shape> {
        match act {
            Act::Set { name, shown, .. } => self.assign(name, shown),
            Act::SetNames { charset, collation } => {
                for name in [
                    "character_set_client",
                    "character_set_results",
                    "character_set_connection",
                ] {
                    self.set(name, charset);
                }
                if let Some(collation) = collation {
                    self.charsets.collation = (*collation).into();
                }
            }
            Act::SetCollation { charset, collation } => {
                self.charsets.connection = (*charset).into();
                self.charsets.collation = (*collation).into();
                self.tell_state();
            }
            Act::SetDefault(name) => {
                let is_reversed = matches!(*name, "foreign_key_checks" | "unique_checks");
                let value = match is_reversed && self.flavor == Flavor::MySql {
                    true => "0".to_owned(),
                    false => self.first_value(name),
                };
                self.assign(name, &value);
            }
            Act::SetInvalid { code, .. } => return Some(self.failed(*code)),
            Act::SetUser { name, tag } => {
                self.user.insert(name, tag.clone());
                self.tell_state();
            }
            Act::IntoUser { name, tag } => {
                self.user.insert(name, tag.clone());
                self.row_count = Some(1);
                return Some(Shape::Ok {
                    affected: 1,
                    numbered: false,
                });
            }
            Act::Get(names) => return Some(self.get(names)),
            Act::SetTransaction { session, read_only } => {
                return self.set_transaction(*session, *read_only);
            }
            Act::Begin { read_only } => {
                self.commit();
                self.open(*read_only);
            }
            Act::Commit { chain } => {
                let read_only = self.transaction.as_ref().is_some_and(|it| it.read_only);
                self.commit();
                self.chain(*chain, read_only);
            }
            Act::Rollback { chain } => {
                let read_only = self.transaction.as_ref().is_some_and(|it| it.read_only);
                self.roll_back();
                self.chain(*chain, read_only);
            }
            Act::Savepoint(_) | Act::RollbackTo(_) | Act::Release(_) => {
                return self.savepoint(act);
            }
            Act::Insert(number) => return Some(self.insert(*number, self.database.is_some())),
            Act::Count => {
                if self.database.is_none() {
                    return Some(self.failed(1046));
                }
                self.touch_tables();
                let own = self.pending_rows().len() as i64;
                let value = self.committed + own;
                let more = self.doubtful;
                return Some(self.one_row(Cell::AtLeast { value, more }));
            }
            Act::WhereAmI => {
                let Some(database) = self.database.clone() else {
                    return Some(self.failed(1046));
                };
                self.touch_tables();
                return Some(self.one_row(Cell::Text(database)));
            }
            Act::Numbers { rows, tag } => {
                if self.database.is_none() {
                    return Some(self.failed(1046));
                }
                self.touch_tables();
                self.row_count = Some(-1);
                return Some(Shape::Rows {
                    columns: 2,
                    rows: Rows::Numbers {
                        tag: tag.clone(),
                        first: 1,
                        last: *rows,
                    },
                });
            }
            Act::Deadlock => {
                self.roll_back();
                return Some(self.failed(1213));
            }
            Act::CreateTemp(_)
            | Act::DropTemp { .. }
            | Act::InsertTemp { .. }
            | Act::CountTemp(_) => return self.temporary(act),
            Act::Alter | Act::LockTables => self.commit(),
            Act::UnlockTables => {}
            Act::Use(name) => {
                if !name.starts_with("db") {
                    return Some(self.failed(1049));
                }
                self.choose(name);
            }
            Act::ShowWarnings => return Some(self.show_warnings()),
            Act::Prepare { name, tag } => {
                self.named.insert(name, tag.clone());
                self.tell_state();
            }
            Act::Execute(name) => {
                return Some(match self.named.get(name).cloned() {
                    Some(tag) => self.one_row(Cell::Text(tag)),
                    None => self.failed(1243),
                });
            }
            Act::Deallocate(name) => {
                if self.named.remove(name).is_none() {
                    return Some(self.failed(1243));
                }
                self.tell_state();
            }
            Act::CallSet {
                name, shown, fails, ..
            } => {
                self.assign(name, shown);
                if *fails {
                    return Some(self.failed(1644));
                }
                self.row_count = None;
                return Some(plain());
            }
            Act::Sleep(tag) => {
                self.row_count = Some(-1);
                return Some(Shape::Rows {
                    columns: 2,
                    rows: Rows::All(vec![vec![Cell::Int(0), Cell::Text(tag.clone())]]),
                });
            }
            _ => {}
        }
        None
    }

    fn first_value(&self, name: &str) -> String {
        let settings = super::super::vocabulary::SETTINGS;
        let found = settings.iter().find(|(known, ..)| *known == name);
        found.map_or(String::new(), |(_, first, _)| (*first).to_owned())
    }

    /// A variable is set, with what follows from that.
    fn assign(&mut self, name: &'static str, shown: &str) {
        if name == "autocommit" && shown == "1" && self.setting(name) == "0" {
            self.commit();
        }
        self.set(name, shown);
    }

    fn get(&mut self, names: &[&'static str]) -> Shape {
        self.row_count = Some(-1);
        let cell = |name: &&'static str| match self.shown(name) {
            None => Cell::Null,
            Some(value) => Cell::Text(value),
        };
        let row: Vec<Cell> = names.iter().map(cell).collect();
        Shape::Rows {
            columns: row.len(),
            rows: Rows::All(vec![row]),
        }
    }

    // --- Transactions ---

    fn open(&mut self, read_only: bool) {
        let usual = self.setting(self.read_only_name()) == "1";
        let next = self.next_read_only.take().unwrap_or(usual);
        self.transaction = Some(Transaction {
            read_only: read_only || next,
            ..Transaction::default()
        });
    }

    fn read_only_name(&self) -> &'static str {
        match self.flavor {
            Flavor::MySql => "transaction_read_only",
            Flavor::MariaDb => "tx_read_only",
        }
    }

    pub(super) fn touch_tables(&mut self) {
        if self.transaction.is_none() && self.setting("autocommit") == "0" {
            self.open(false);
        }
    }

    fn commit(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.committed += transaction.rows.len() as i64;
            self.confirms.extend(transaction.rows);
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.transaction = None;
    }

    fn chain(&mut self, chain: bool, read_only: bool) {
        if chain {
            self.transaction = Some(Transaction {
                read_only,
                ..Transaction::default()
            });
        }
    }

    fn set_transaction(&mut self, session: bool, read_only: bool) -> Option<Shape> {
        if session {
            let value = if read_only { "1" } else { "0" };
            self.set(self.read_only_name(), value);
            return None;
        }
        if self.transaction.is_some() {
            return Some(self.failed(1568));
        }
        self.next_read_only = Some(read_only);
        None
    }

    fn savepoint(&mut self, act: &Act) -> Option<Shape> {
        let missing = !matches!(act, Act::Savepoint(_));
        let Some(transaction) = &mut self.transaction else {
            return match missing {
                true => Some(self.failed(1305)),
                false => None,
            };
        };
        let rows = transaction.rows.len();
        let savepoints = &mut transaction.savepoints;
        match act {
            Act::Savepoint(name) => {
                savepoints.retain(|(known, _)| known != name);
                savepoints.push((name, rows));
            }
            Act::RollbackTo(name) => {
                let Some(at) = savepoints.iter().position(|(known, _)| known == name) else {
                    return Some(self.failed(1305));
                };
                let kept = savepoints[at].1;
                savepoints.truncate(at + 1);
                transaction.rows.truncate(kept);
            }
            Act::Release(name) => {
                let Some(at) = savepoints.iter().position(|(known, _)| known == name) else {
                    return Some(self.failed(1305));
                };
                savepoints.truncate(at);
            }
            _ => {}
        }
        None
    }

    /// A row of this client's for the log.
    pub(super) fn insert(&mut self, number: i64, has_database: bool) -> Shape {
        if !has_database {
            return self.failed(1046);
        }
        self.touch_tables();
        let usual = self.setting(self.read_only_name()) == "1";
        match &mut self.transaction {
            Some(transaction) if transaction.read_only => return self.failed(1792),
            Some(transaction) => transaction.rows.push(number),
            None if self.next_read_only.take().unwrap_or(usual) => return self.failed(1792),
            None => {
                self.committed += 1;
                self.confirms.push(number);
            }
        }
        self.row_count = Some(1);
        Shape::Ok {
            affected: 1,
            numbered: true,
        }
    }

    // --- What else there is ---

    fn temporary(&mut self, act: &Act) -> Option<Shape> {
        match act {
            Act::CreateTemp(name) => {
                if self.database.is_none() {
                    return Some(self.failed(1046));
                }
                if self.temporary.contains_key(name) {
                    return Some(self.failed(1050));
                }
                self.temporary.insert(name, 0);
                self.tell_state();
            }
            Act::DropTemp { name, if_exists } => {
                if self.temporary.remove(name).is_some() {
                    self.tell_state();
                } else if *if_exists {
                    let text = format!("Unknown table '{name}'");
                    self.warnings.push(("Note", 1051, Some(text)));
                } else {
                    return Some(self.failed(1051));
                }
            }
            Act::InsertTemp { name, .. } => {
                if self.database.is_none() {
                    return Some(self.failed(1046));
                }
                let Some(count) = self.temporary.get_mut(name) else {
                    return Some(self.failed(1146));
                };
                *count += 1;
                self.row_count = Some(1);
                return Some(Shape::Ok {
                    affected: 1,
                    numbered: false,
                });
            }
            Act::CountTemp(name) => {
                if self.database.is_none() {
                    return Some(self.failed(1046));
                }
                return Some(match self.temporary.get(name) {
                    Some(count) => self.one_row(Cell::Int(*count as i64)),
                    None => self.failed(1146),
                });
            }
            _ => {}
        }
        None
    }

    fn show_warnings(&self) -> Shape {
        let row = |(level, code, text): &(&'static str, i64, Option<String>)| {
            let text = match text {
                Some(text) => Cell::Text(text.clone()),
                None => Cell::Any,
            };
            vec![Cell::Text((*level).into()), Cell::Int(*code), text]
        };
        Shape::Rows {
            columns: 3,
            rows: Rows::All(self.warnings.iter().map(row).collect()),
        }
    }
}

impl Act {
    /// Columns of its rows; 0 when it has none.
    pub(in super::super) fn columns(&self) -> u16 {
        match self {
            Act::TagParam(_) | Act::Numbers { .. } | Act::Sleep(_) => 2,
            Act::Get(names) => names.len() as u16,
            Act::Tag(_)
            | Act::Quoted(_)
            | Act::Backslash(_)
            | Act::Touch(_)
            | Act::AssignUser { .. }
            | Act::GetUser(_)
            | Act::Count
            | Act::CountTemp(_)
            | Act::GetLock(_)
            | Act::ReleaseLock(_)
            | Act::ReleaseAllLocks
            | Act::Database
            | Act::WhereAmI
            | Act::Collation
            | Act::LastInsertId
            | Act::RowCount
            | Act::Warn(_) => 1,
            _ => 0,
        }
    }
}
