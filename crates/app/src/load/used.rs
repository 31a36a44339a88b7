//! Puts the parts of an app together, and says which fields of each message its projection reads.

use std::sync::Arc;

use super::avro::Schemas;
use super::entities::EntityDraft;
use super::topics::{MessageDraft, TopicDraft};
use super::views::ViewDraft;
use crate::expr::{Expr, Node};
use crate::model::{Action, Entity, Message, Topic, Transition, View, ViewKind};
use tidefold_record::TopicName;

/// The topics, each with its entity and views. Parts with mistakes are left out: there is no app then.
pub(super) fn assemble(
    topics: Vec<TopicDraft<'_>>,
    entities: Vec<EntityDraft<'_>>,
    views: Vec<ViewDraft>,
    schemas: &Schemas<'_>,
) -> Vec<Topic> {
    let mut entities: Vec<(Option<usize>, Option<Entity>)> =
        entities.into_iter().map(|draft| (draft.topic, Some(draft.entity))).collect();
    let mut views: Vec<Option<ViewDraft>> = views.into_iter().map(Some).collect();
    let mut assembled = Vec::new();
    for (at, draft) in topics.into_iter().enumerate() {
        let entity =
            entities.iter_mut().find(|(topic, _)| *topic == Some(at)).and_then(|(_, entity)| entity.take());
        let own = views.iter_mut().filter_map(|view| view.take_if(|view| view.topic == at));
        let views: Vec<View> = own.map(|draft| draft.view).collect();
        let key: Vec<_> = draft.key.into_iter().flatten().collect();
        let messages = draft.messages.iter().enumerate().filter_map(|(place, draft)| {
            let mut message = message(draft, schemas)?;
            message.key = key.iter().filter_map(|field| message.record.field(&field.name)).collect();
            mark_used(&mut message, place, entity.as_ref(), &views);
            Some(message)
        });
        let messages = messages.collect();
        assembled.push(Topic {
            name: TopicName::new(draft.spec.name.value.as_str()),
            key,
            partitions: draft.spec.partitions,
            max_message_bytes: draft.spec.max_message_bytes,
            messages,
            entity,
            views,
        });
    }
    assembled
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
    if let Some(Some(transition)) = entity.and_then(|entity| entity.transitions.get(place)) {
        walk_transition(transition, &mut visit);
    }
    for view in views.iter().filter(|view| view.source.event == Some(place)) {
        walk_view(view, &mut visit);
    }
}

/// Visits every expression of a transition.
fn walk_transition(transition: &Transition, visit: &mut dyn FnMut(&Expr)) {
    transition.lets.iter().for_each(|named| named.expr.walk(visit));
    transition.requires.iter().for_each(|guard| guard.expr.walk(visit));
    if let Action::Set(assignments) = &transition.action {
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
