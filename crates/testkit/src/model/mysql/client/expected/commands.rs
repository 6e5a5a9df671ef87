//! Commands that are no texts: prepared statements, the connection itself.

use super::settings::Charsets;
use super::{Cell, Given, Picture, Rows, Shape};
use crate::model::mysql::Flavor;
use crate::model::mysql::client::script::{Act, Message, Param};
use forebay_mysql::wire::status::Status;

impl Picture {
    /// The shape of the answer and status flags of its own; `None` where none comes.
    pub(super) fn command(&mut self, message: &Message) -> (Option<Shape>, Status) {
        let plain = Shape::Ok {
            affected: 0,
            numbered: false,
        };
        let shape = match message {
            Message::Query(_) | Message::Ping => plain,
            Message::Statistics => Shape::Text,
            Message::InitDb(name) if name.starts_with("db") => {
                self.choose(name);
                plain
            }
            Message::InitDb(_) => Shape::Error(1049),
            Message::ResetConnection => {
                let database = self.database.clone();
                self.begin_anew(database);
                plain
            }
            // A login: its picture is made anew.
            Message::ChangeUser { .. } => plain,
            Message::Prepare { name, act } => self.prepare(name, act),
            Message::Execute {
                name,
                param,
                types,
                cursor,
            } => return self.execute(name, param.as_ref(), *types, *cursor),
            Message::Fetch { name, rows } => return self.fetch(name, *rows),
            Message::LongData { name, text } => {
                if let Some(given) = self.prepared.get_mut(name) {
                    given.ahead.get_or_insert_default().push_str(text);
                }
                return (None, Status::default());
            }
            Message::StmtReset { name } => match self.prepared.get_mut(name) {
                Some(given) => {
                    given.ahead = None;
                    given.cursor = None;
                    plain
                }
                None => self.refused(1243),
            },
            Message::StmtClose { name } => {
                self.prepared.remove(name);
                return (None, Status::default());
            }
        };
        (Some(shape), Status::default())
    }

    /// All is as at the beginning.
    fn begin_anew(&mut self, database: Option<String>) {
        self.roll_back();
        self.database = database;
        // MySQL goes back to the server's own, MariaDB to those of the connection's beginning.
        self.charsets = match self.flavor {
            Flavor::MySql => Charsets::of(255),
            Flavor::MariaDb => self.first.clone(),
        };
        self.settings.clear();
        self.user.clear();
        self.next_read_only = None;
        self.temporary.clear();
        self.locks.clear();
        self.named.clear();
        self.prepared.clear();
        self.last_insert_id = 0;
        self.row_count = None;
        self.warnings.clear();
        self.has_looked_back = false;
        self.has_run = false;
        self.told.clear();
        self.late.clear();
    }

    fn prepare(&mut self, name: &'static str, act: &Act) -> Shape {
        self.prepared.remove(name);
        self.warnings.clear();
        if let Some(code) = self.wrong(act) {
            return self.failed(code);
        }
        let has_table = matches!(
            act,
            Act::Count | Act::WhereAmI | Act::Numbers { .. } | Act::InsertParam
        );
        if has_table && self.database.is_none() {
            return self.failed(1046);
        }
        let given = Given {
            act: act.clone(),
            database: self.database.clone(),
            collation: self.charsets.collation.clone(),
            has_types: false,
            ahead: None,
            cursor: None,
        };
        self.prepared.insert(name, given);
        Shape::Prepared {
            name,
            parameters: act.parameters(),
            columns: act.columns(),
        }
    }

    fn execute(
        &mut self,
        name: &'static str,
        param: Option<&Param>,
        types: bool,
        cursor: bool,
    ) -> (Option<Shape>, Status) {
        let Some(given) = self.prepared.get_mut(name) else {
            return (Some(self.refused(1243)), Status::default());
        };
        let ahead = given.ahead.take();
        given.cursor = None;
        given.has_types |= types;
        let lacks_types = given.act.parameters() > 0 && !given.has_types;
        let given = given.clone();
        if lacks_types {
            return (Some(Shape::Error(1210)), Status::default());
        }
        let value = match (ahead, param) {
            (Some(text), _) => Cell::Text(text),
            (None, Some(Param::Tiny(number))) => Cell::Int((*number).into()),
            (None, Some(Param::Long(number))) => Cell::Int(*number),
            (None, Some(Param::Text(text))) => Cell::Text(text.clone()),
            (None, _) => Cell::Null,
        };
        let shape = self.prepared_statement(&given.act, &given, value);
        if cursor && let Shape::Rows { columns, rows } = shape {
            let given = self.prepared.get_mut(name).expect("it was there");
            given.cursor = Some(rows);
            let rows = Rows::All(Vec::new());
            return (Some(Shape::Rows { columns, rows }), Status::CURSOR_EXISTS);
        }
        (Some(shape), Status::default())
    }

    /// What a prepared statement gives: its names mean what they meant when it was prepared.
    fn prepared_statement(&mut self, act: &Act, given: &Given, value: Cell) -> Shape {
        self.begin_statement(Some(act));
        match act {
            Act::TagParam(tag) => {
                self.row_count = Some(-1);
                let row = vec![value, Cell::Text(tag.clone())];
                Shape::Rows {
                    columns: 2,
                    rows: Rows::All(vec![row]),
                }
            }
            Act::InsertParam => match value {
                Cell::Int(number) => self.insert(number, given.database.is_some()),
                _ if given.database.is_none() => self.failed(1046),
                _ => self.failed(1146),
            },
            // What its quotes and backslashes meant was decided then.
            Act::Quoted(tag) => self.one_row(Cell::Text(tag.clone())),
            Act::Backslash(tag) => self.one_row(Cell::Text(format!("{tag}\\"))),
            Act::Collation => self.one_row(Cell::Text(given.collation.clone())),
            Act::WhereAmI => {
                self.touch_tables();
                let database = given.database.clone();
                self.one_row(Cell::Text(database.unwrap_or_default()))
            }
            Act::Count | Act::Numbers { .. } => {
                let now = std::mem::replace(&mut self.database, given.database.clone());
                let shape = self.one(act);
                self.database = now;
                shape
            }
            act => self.one(act),
        }
    }

    fn fetch(&mut self, name: &'static str, wanted: u32) -> (Option<Shape>, Status) {
        let Some(given) = self.prepared.get_mut(name) else {
            return (Some(self.refused(1243)), Status::default());
        };
        let Some(rows) = given.cursor.take() else {
            return (Some(self.refused(1421)), Status::default());
        };
        let columns = given.act.columns().into();
        let (now, rest) = rows.split(wanted);
        let extra = match &rest {
            Some(_) => Status::CURSOR_EXISTS,
            None => Status::LAST_ROW_SENT,
        };
        given.cursor = rest;
        (Some(Shape::Rows { columns, rows: now }), extra)
    }

    /// What is wrong with a text as it stands.
    pub(super) fn wrong(&self, act: &Act) -> Option<u16> {
        let mode = self.setting("sql_mode");
        match act {
            Act::Quoted(_) if mode.contains("ANSI_QUOTES") => Some(1054),
            Act::Backslash(_) if !mode.contains("NO_BACKSLASH_ESCAPES") => Some(1064),
            Act::Nonsense => Some(1064),
            _ => None,
        }
    }
}

impl Rows {
    /// The first so many, and the rest unless fewer were left than wanted.
    fn split(self, wanted: u32) -> (Rows, Option<Rows>) {
        match self {
            Rows::All(mut rows) => {
                let at = rows.len().min(wanted as usize);
                let is_last = rows.len() < wanted as usize;
                let rest = rows.split_off(at);
                (Rows::All(rows), (!is_last).then_some(Rows::All(rest)))
            }
            Rows::Numbers { tag, first, last } => {
                let left = last + 1 - first;
                let now = left.min(wanted);
                let rest = Rows::Numbers {
                    tag: tag.clone(),
                    first: first + now,
                    last,
                };
                let now = Rows::Numbers {
                    tag,
                    first,
                    last: first + now - 1,
                };
                (now, (left >= wanted).then_some(rest))
            }
        }
    }
}
