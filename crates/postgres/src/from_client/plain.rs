//! Names that clients give in SQL: what `PREPARE`, `EXECUTE` and `DEALLOCATE` must find on the backend before they are sent.
//!
//! Their text goes as it is, so that tags, errors and positions are the server's. Ahead of it the backend is given the session's own
//! statement, where it is wanted and missing, and what another session's is called so is taken away. A message that gives or drops
//! names holds up whatever comes behind it (`Exchange::drops_names`, `settling`), so a session's names are known when one is looked
//! at, except where a segment under way may yet skip something: then the message waits.

use super::{FromClient, Step};
use crate::exchange::{Awaits, Expect, Given, Taken};
use crate::plain_names::NOTHING;
use crate::said::Said;
use crate::sql::Effect;
use crate::statements::{self, Draft, Named, Statement, is_reserved};
use crate::wire::write;
use forebay_core::PinReason;
use forebay_core::orders::Order;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What statements and portals of ours are called that prepare again what a client has prepared.
pub(super) const PREPARING: &[u8] = b"fb_prepare";
/// Most statements that SQL has named and that are prepared again for code which may run them; of a session with more, none is.
const NAMES_FOR_CODE_MAX: usize = 64;

/// What is wanted of a name.
pub(super) struct Want<'e> {
    /// The name.
    pub(super) name: &'e [u8],
    /// The session's own statement must be there; otherwise it counts only if the name is taken.
    pub(super) itself: bool,
}

/// What the first of these statements that speaks of a name wants of it. What comes behind DEALLOCATE ALL finds the server as it
/// should be.
fn wants(effects: &[Effect]) -> Vec<Want<'_>> {
    let mut seen = HashSet::new();
    let mut wants = Vec::new();
    for effect in effects {
        let (name, itself) = match effect {
            Effect::Execute(executes) => (&executes.name, true),
            Effect::Prepare(prepares) => (&prepares.name, false),
            Effect::Deallocate(name) => (name, false),
            Effect::DeallocateAll | Effect::DiscardAll => break,
            _ => continue,
        };
        if !is_reserved(name.as_bytes()) && seen.insert(name) {
            let name = name.as_bytes();
            wants.push(Want { name, itself });
        }
    }
    wants
}

/// Whether code runs that may speak of any name.
fn may_name_any(effects: &[Effect]) -> bool {
    let calls = |effect: &Effect| effect.pins().contains(&PinReason::ProcedureCall);
    effects
        .iter()
        .any(|effect| *effect == Effect::Opaque || calls(effect))
}

impl FromClient<'_> {
    /// Whether it depends on a segment under way what this name stands for, here or on the backend.
    pub(super) fn is_plain_in_doubt(&self, name: &[u8]) -> bool {
        let exchange = &self.backend.exchange;
        exchange.segments() > 0
            && (self.is_name_in_doubt(name) || exchange.is_running(self.backend.plain.since(name)))
    }

    /// Whether it depends on a segment under way what the names stand for that a statement speaks of.
    pub(super) fn is_effect_in_doubt(&self, effect: &Effect) -> bool {
        let effects = std::slice::from_ref(effect);
        let in_doubt = |want: &Want<'_>| self.is_plain_in_doubt(want.name);
        wants(effects).iter().any(in_doubt) || self.are_strangers_in_doubt(effects)
    }

    fn are_strangers_in_doubt(&self, effects: &[Effect]) -> bool {
        let exchange = &self.backend.exchange;
        may_name_any(effects)
            && self
                .backend
                .plain
                .is_any(|since| exchange.is_running(since))
    }

    /// Sees to it that a Query finds the names that it speaks of. Returns what becomes of it if it cannot be sent yet.
    pub(super) fn provide_for_query(&mut self, effects: &[Effect]) -> Option<Step> {
        let mut wants = wants(effects);
        let any = may_name_any(effects);
        let own = self.names_for_code(any || effects.contains(&Effect::Begin), &wants);
        let itself = true;
        wants.extend(own.iter().map(|name| Want { name, itself }));
        if wants.is_empty() && !any {
            return None;
        }
        if wants.iter().any(|want| self.is_plain_in_doubt(want.name))
            || self.are_strangers_in_doubt(effects)
        {
            return Some(self.wait(Awaits::Segments));
        }
        let exchange = &self.backend.exchange;
        let alone = !exchange.open_segment;
        let parses = |want| self.is_given_by_parse(want);
        if alone && exchange.is_guarded() && !exchange.is_empty() && wants.iter().any(parses) {
            // A Sync would end what the guard has the server skip.
            return Some(self.wait(Awaits::Answers));
        }
        self.backend.give_error = None;
        self.provide(&wants, alone);
        if any {
            self.part_from_strange_names(&wants);
        }
        (!alone && !self.backend.exchange.is_empty()).then(|| self.wait(Awaits::Answers))
    }

    /// The same for a message of the extended protocol.
    pub(super) fn provide_for(&mut self, effect: &Effect) {
        let effects = std::slice::from_ref(effect);
        let wants = wants(effects);
        self.provide(&wants, false);
        if may_name_any(effects) {
            self.part_from_strange_names(&wants);
        }
    }

    /// The session's statements that code may run by names which nobody here reads, as far as this backend has not got them. Only where
    /// it harms nobody if one cannot be prepared again: outside a transaction, also for what a transaction will run.
    fn names_for_code(&self, runs_code: bool, spoken_of: &[Want<'_>]) -> Vec<Box<[u8]>> {
        let names = self.session.prepared.by_sql();
        let exchange = &self.backend.exchange;
        let harmless =
            exchange.status == b'I' && exchange.expects_only_replay() && !exchange.open_segment;
        if !runs_code || names.len() == 0 || names.len() > NAMES_FOR_CODE_MAX || !harmless {
            return Vec::new();
        }
        let lacks = |name: &&[u8]| {
            let own = self.session.prepared.get(name).map(|own| own.name);
            self.backend.plain.get(name) != own && spoken_of.iter().all(|want| want.name != *name)
        };
        names.filter(lacks).map(Box::from).collect()
    }

    /// Whether it depends on a segment under way what a statement runs by name.
    pub(super) fn is_run_in_doubt(&self, statement: &Statement) -> bool {
        matches!(statement.effect, Effect::Execute(_)) && self.is_effect_in_doubt(&statement.effect)
    }

    /// What a statement runs by name must be there when it is parsed, and when it is bound: it tells the columns.
    pub(super) fn provide_for_run(&mut self, statement: &Statement) {
        if let Effect::Execute(_) = statement.effect {
            self.provide_for(&statement.effect);
        }
    }

    /// A name that a message of the protocol speaks of is to be found on the backend as the session has it.
    pub(super) fn provide_itself(&mut self, name: &[u8]) {
        let itself = true;
        self.provide(&[Want { name, itself }], false);
    }

    /// A name that a Parse gives is to be free, or taken, as the session has it.
    pub(super) fn provide_presence(&mut self, name: &[u8]) {
        let itself = false;
        self.provide(&[Want { name, itself }], false);
    }

    /// Sees to it that names stand for what is wanted; with `alone`, ahead of a segment.
    pub(super) fn provide(&mut self, wants: &[Want<'_>], alone: bool) {
        if wants.is_empty() {
            return;
        }
        let before = self.backend.plain.turn();
        for want in wants {
            self.backend.plain.touch(want.name);
        }
        while let Some(oldest) = self.backend.plain.one_too_many(wants.len(), before) {
            self.take(&oldest, true);
        }
        for want in wants {
            self.provide_one(want, alone);
        }
    }

    fn provide_one(&mut self, want: &Want<'_>, alone: bool) {
        let there = self.backend.plain.get(want.name);
        let Some(own) = self.session.prepared.get(want.name).cloned() else {
            if there.is_some() {
                self.take(want.name, true);
            }
            return;
        };
        if !want.itself {
            if there.is_none() {
                self.give(want.name, None, alone);
            }
            return;
        }
        let own = if own.is_sql {
            own
        } else {
            self.usable(want.name, own)
        };
        if there == Some(own.name) {
            return self.keep_apart(want.name, &own);
        }
        if there.is_some() {
            self.take(want.name, true);
        }
        if alone && self.has_failed() {
            // Whatever runs it says so itself.
            return;
        }
        if let Some(own) = self.replayable(want.name, own) {
            self.give(want.name, Some(&own), alone);
        }
    }

    /// Whether a name is to be given by a Parse.
    fn is_given_by_parse(&self, want: &Want<'_>) -> bool {
        let there = self.backend.plain.get(want.name);
        self.session
            .prepared
            .get(want.name)
            .is_some_and(|own| match want.itself {
                true => !own.is_sql && there != Some(own.name),
                false => there.is_none(),
            })
    }

    /// Whether the transaction has failed, so that nothing can be prepared. In a segment that goes on its end may have been executed.
    fn has_failed(&self) -> bool {
        let exchange = &self.backend.exchange;
        exchange.status == b'E' && exchange.segments() == 0 && !exchange.tracked
    }

    /// The server goes on with a statement that it has read under other settings: from now on it is this session's alone.
    fn keep_apart(&mut self, name: &[u8], own: &Arc<Statement>) {
        if !own.is_sql || own.is_private() || self.means_the_same(own) {
            return;
        }
        let draft = self.draft_of_sql(&own.text);
        let apart = self.shared.statements.private(&draft);
        let since = self.backend.plain.since(name);
        self.backend.plain.becomes(name, Some(apart.name), since);
        if let Some(given) = self.session.prepared.given_mut(name) {
            given.statement = apart;
        }
    }

    /// What is prepared again under this name; `None` if the server would not read it as it did.
    fn replayable(&mut self, name: &[u8], own: Arc<Statement>) -> Option<Arc<Statement>> {
        if !own.is_sql {
            return Some(own);
        }
        let draft = self.draft_of_sql(&own.text);
        if !statements::is_prepare_of(name, &own.text, draft.conforming) {
            return None;
        }
        if self.means_the_same(&own) {
            return Some(own);
        }
        let anew = self.prepared(&draft);
        if let Some(given) = self.session.prepared.given_mut(name) {
            given.statement = Arc::clone(&anew);
        }
        Some(anew)
    }

    fn draft_of_sql<'t>(&self, text: &'t [u8]) -> Draft<'t> {
        Draft {
            is_sql: true,
            ..self.draft(text, b"")
        }
    }

    /// A name is made to stand for the session's statement, or else for nothing much; ahead of a Query in a segment of its own.
    fn give(&mut self, name: &[u8], own: Option<&Arc<Statement>>, alone: bool) {
        let of = own.map_or(NOTHING, |own| own.name);
        let segment = self.backend.exchange.segment();
        let before = self.backend.plain.becomes(name, Some(of), segment);
        let sql = own.filter(|own| own.is_sql);
        if alone && sql.is_some() {
            // A Query ends it.
            self.backend.unnamed = None;
        }
        self.orders.to_backend(|out| match (sql, alone) {
            (Some(sql), true) => write::query(out, &sql.text),
            (Some(sql), false) => {
                write::close(out, b'S', PREPARING);
                write::run(out, PREPARING, &sql.text);
            }
            (None, _) => {
                let text = own.map_or(&b""[..], |own| &own.text);
                let types = own.map_or(&[0; 2][..], |own| own.types_to_keep());
                write::parse(out, name, text, types);
                if alone {
                    out.extend_from_slice(write::SYNC);
                }
            }
        });
        if own.is_some() {
            self.orders.push(Order::Reprepared);
        }
        let (end, ends) = match (alone, sql) {
            (true, _) => (b'Z', 1),
            (false, Some(_)) => (b'3', 3),
            (false, None) => (b'1', 1),
        };
        let name = name.into();
        self.backend
            .exchange
            .push(Expect::GivePlain(Box::new(Given {
                name,
                before,
                end,
                ends,
            })));
    }

    /// A name is taken from whatever has it.
    pub(super) fn take(&mut self, name: &[u8], swallow: bool) {
        let segment = self.backend.exchange.segment();
        let before = self.backend.plain.becomes(name, None, segment);
        self.orders.to_backend(|out| write::close(out, b'S', name));
        let name = name.into();
        self.backend
            .exchange
            .push(Expect::TakePlain(Box::new(Taken {
                name,
                before,
                swallow,
            })));
    }

    /// Takes away what is not this session's, ahead of what may speak of any name; of the names in `wants` it is so already.
    pub(super) fn part_from_strange_names(&mut self, wants: &[Want<'_>]) {
        let session = &self.session;
        let strange = |(name, of): (&Arc<[u8]>, _)| {
            let own = session.prepared.get(name).map(|own| own.name);
            let provided = wants.iter().any(|want| *want.name == **name);
            (own != Some(of) && !provided).then(|| Arc::clone(name))
        };
        let strange: Vec<_> = self.backend.plain.iter().filter_map(strange).collect();
        for name in strange {
            self.take(&name, true);
        }
    }

    /// Says of statements that run others by name what these do. Returns the others.
    pub(super) fn resolve(&self, effects: &mut [Effect]) -> Vec<(String, Arc<Statement>)> {
        let mut uses = Vec::new();
        // What names stand for that these statements themselves give and drop.
        let mut names: HashMap<String, Option<Effect>> = HashMap::new();
        let mut dropped = false;
        for effect in effects {
            match effect {
                Effect::Prepare(prepares) if is_reserved(prepares.name.as_bytes()) => {
                    *effect = Effect::Pin(PinReason::SqlPrepare);
                }
                Effect::Prepare(prepares) => {
                    names.insert(prepares.name.clone(), Some(prepares.body.clone()));
                }
                Effect::Deallocate(name) => drop(names.insert(name.clone(), None)),
                Effect::DeallocateAll => {
                    names.clear();
                    dropped = true;
                }
                Effect::Execute(executes) => {
                    let name = executes.name.as_bytes();
                    let known = match names.get(&executes.name) {
                        Some(body) => body.clone(),
                        None if dropped => None,
                        None => self.session.prepared.get(name).map(|own| {
                            uses.push((executes.name.clone(), Arc::clone(own)));
                            own.effect.clone()
                        }),
                    };
                    if let Some(body) = known {
                        *effect = executes.effect(&body);
                    }
                }
                _ => {}
            }
        }
        uses
    }

    /// What is run by name may call what an operator has named.
    pub(super) fn note_taint_of(&mut self, uses: &[(String, Arc<Statement>)]) {
        for (_, used) in uses {
            self.note_taint(Said::statement(used));
        }
    }

    /// What these statements, which are parts of `text`, give names to; `None` if that is too much. To be called when it is noted
    /// what they do.
    pub(super) fn makes(
        &mut self,
        effects: &[Effect],
        text: &[u8],
    ) -> Option<Vec<(usize, Arc<Statement>)>> {
        let mut makes = Vec::new();
        let single = effects.len() == 1;
        for (index, effect) in effects.iter().enumerate() {
            let Effect::Prepare(prepares) = effect else {
                continue;
            };
            let part = &text[prepares.at.clone()];
            let part = part.strip_suffix(b";").unwrap_or(part);
            let text = if single { text } else { part };
            if !self
                .session
                .prepared
                .has_room(prepares.name.as_bytes(), text.len())
            {
                return None;
            }
            let draft = self.draft_of_sql(text);
            makes.push((index, self.prepared(&draft)));
        }
        Some(makes)
    }

    /// What executing a statement does, where its text speaks of names; `None` if that is too much.
    pub(super) fn doing(&mut self, statement: Arc<Statement>) -> Option<Arc<Statement>> {
        match &statement.effect {
            Effect::Execute(_) => {
                let mut effects = [statement.effect.clone()];
                let uses = self.resolve(&mut effects);
                let [effect] = effects;
                self.note_taint_of(&uses);
                let makes = Vec::new();
                Some(statement.doing(effect, Named { makes, uses }))
            }
            Effect::Prepare(_) => {
                let mut effects = [statement.effect.clone()];
                let uses = self.resolve(&mut effects);
                let makes = self.makes(&effects, &statement.text)?;
                let [effect] = effects;
                Some(statement.doing(effect, Named { makes, uses }))
            }
            _ => Some(statement),
        }
    }
}
