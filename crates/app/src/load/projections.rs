//! Puts the parts of each projection together, and says which fields of each message it reads.

use std::sync::Arc;

use super::avro::Schemas;
use super::entities::EntityDraft;
use super::hash::{Parts, projection_hash};
use super::spec::Spec;
use super::topics::{MessageDraft, TopicDraft};
use super::views::ViewDraft;
use crate::expr::{Expr, Node};
use crate::model::{Action, Clause, Entity, Message, Projection, Topic, View, ViewKind};
use tidefold_record::TopicName;

/// The projections, one for each topic. Parts with mistakes are left out: there is no app then.
pub(super) fn assemble(
    spec: &Spec,
    (topics, entities, views): (Vec<TopicDraft<'_>>, Vec<EntityDraft<'_>>, Vec<ViewDraft>),
    schemas: &Schemas<'_>,
) -> Vec<Arc<Projection>> {
    let app: Arc<str> = spec.app.as_ref().map_or("", |app| &app.value).into();
    let mut entities: Vec<Option<EntityDraft<'_>>> = entities.into_iter().map(Some).collect();
    let mut views: Vec<Option<ViewDraft>> = views.into_iter().map(Some).collect();
    let mut assembled = Vec::new();
    for (at, draft) in topics.into_iter().enumerate() {
        let entity = entities.iter_mut().find_map(|entity| entity.take_if(|entity| entity.topic == Some(at)));
        let own = views.iter_mut().filter_map(|view| view.take_if(|view| view.topic == at));
        let views: Vec<View> = own.map(|draft| draft.view).collect();
        let named = |name: &str| spec.views.iter().find(|view| view.name.value == name);
        let parts = Parts {
            topic: draft.spec,
            entity: entity.as_ref().map(|entity| entity.spec),
            views: views.iter().filter_map(|view| named(&view.name)).collect(),
        };
        let hash = projection_hash(&parts, schemas);
        let entity = entity.map(|draft| draft.entity);
        let topic = topic(draft, entity.as_ref(), &views, schemas);
        assembled.push(Arc::new(Projection { app: Arc::clone(&app), topic, entity, views, hash }));
    }
    assembled
}

fn topic(draft: TopicDraft<'_>, entity: Option<&Entity>, views: &[View], schemas: &Schemas<'_>) -> Topic {
    let key: Vec<_> = draft.key.into_iter().flatten().collect();
    let messages = draft.messages.iter().enumerate().filter_map(|(place, draft)| {
        let mut message = message(draft, schemas)?;
        message.key = key.iter().filter_map(|field| message.record.field(&field.name)).collect();
        mark_used(&mut message, place, entity, views);
        Some(message)
    });
    let messages = messages.collect();
    Topic {
        name: TopicName::new(draft.spec.name.value.as_str()),
        key,
        partitions: draft.spec.partitions,
        max_message_bytes: draft.spec.max_message_bytes,
        messages,
    }
}

fn message(draft: &MessageDraft<'_>, schemas: &Schemas<'_>) -> Option<Message> {
    let (named, record) = schemas.record(draft.full_name.as_deref()?)?;
    Some(Message {
        name: draft.name.value.clone(),
        kind: draft.kind,
        record: Arc::clone(record),
        schema: named.schema.clone(),
        schema_json: named.json.clone(),
        key: Vec::new(),
        used: vec![false; record.fields.len()],
    })
}

fn mark_used(message: &mut Message, place: usize, entity: Option<&Entity>, views: &[View]) {
    let used = &mut message.used;
    let mut mark = |at: usize| {
        if let Some(field) = used.get_mut(at) {
            *field = true;
        }
    };
    message.key.iter().for_each(|at| mark(*at));
    let mut visit = |expr: &Expr| {
        if let Node::Message(at) = expr.node {
            mark(at);
        }
    };
    if let Some(Some(clause)) = entity.and_then(|entity| entity.clauses.get(place)) {
        walk_clause(clause, &mut visit);
    }
    for view in views.iter().filter(|view| view.source.event == Some(place)) {
        walk_view(view, &mut visit);
    }
}

/// Visits every expression of a clause.
fn walk_clause(clause: &Clause, visit: &mut dyn FnMut(&Expr)) {
    clause.lets.iter().for_each(|named| named.expr.walk(visit));
    clause.requires.iter().for_each(|guard| guard.expr.walk(visit));
    if let Action::Set(assignments) = &clause.action {
        assignments.iter().for_each(|(_, expr)| expr.walk(visit));
    }
}

/// Visits every expression of a view.
fn walk_view(view: &View, visit: &mut dyn FnMut(&Expr)) {
    if let Some(unnest) = &view.source.unnest {
        unnest.array.walk(visit);
    }
    if let Some(filter) = &view.source.filter {
        filter.walk(visit);
    }
    match &view.kind {
        ViewKind::Index { columns } => columns.iter().for_each(|expr| expr.walk(visit)),
        ViewKind::Rollup { groups, aggregates, .. } => {
            groups.iter().for_each(|expr| expr.walk(visit));
            for aggregate in aggregates {
                aggregate.argument.iter().chain(&aggregate.filter).for_each(|expr| expr.walk(visit));
            }
        }
    }
}
