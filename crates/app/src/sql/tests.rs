//! What the checker makes of SQL texts, and what it refuses.

use std::sync::Arc;

use tidefold_codec::{ColumnType, EnumType, Field, RecordType, Type};
use tidefold_table::Column;

use super::*;
use crate::expr::{Constant, Node};
use crate::model::{RollupColumn, ViewKind};

mod refusals;
mod typing;
mod views;

fn column(name: &str, ty: Type, nullable: bool) -> Column {
    Column { name: name.to_owned(), column: ColumnType { ty, nullable } }
}

fn field(name: &str, ty: Type, nullable: bool) -> Field {
    Field {
        name: name.into(),
        column: ColumnType { ty, nullable },
        null_first: true,
        default: None,
        aliases: Vec::new(),
    }
}

fn decimal(precision: u8, scale: u8) -> Type {
    Type::Decimal { precision, scale, fixed: None }
}

fn status() -> Type {
    Type::Enum(Arc::new(EnumType {
        full_name: "shop.Status".into(),
        symbols: ["PLACED", "PAID", "SHIPPED"].map(String::from).to_vec(),
        default: None,
    }))
}

fn item() -> Type {
    Type::Record(Arc::new(RecordType {
        full_name: "shop.OrderItem".into(),
        fields: vec![
            field("sku", Type::String, false),
            field("qty", Type::Int, false),
            field("note", Type::String, true),
        ],
    }))
}

/// The columns of an entity with every type that SQL looks at.
fn columns() -> Vec<Column> {
    vec![
        column("order_id", Type::String, false),
        column("customer_id", Type::String, false),
        column("status", Type::String, false),
        column("kind", status(), false),
        column("count", Type::Int, false),
        column("total_cents", Type::Long, false),
        column("price", decimal(10, 2), false),
        column("ratio", Type::Float, false),
        column("weight", Type::Double, false),
        column("open", Type::Boolean, false),
        column("token", Type::Uuid, false),
        column("due", Type::Date, false),
        column("placed_at", Type::TimestampMillis, false),
        column("paid_at", Type::TimestampMillis, true),
        column("seen_at", Type::TimestampMicros, false),
        column("at_local", Type::LocalTimestampMillis, false),
        column("opens", Type::TimeMillis, false),
        column("raw", Type::Bytes, false),
        column("items", Type::Array(Arc::new(item().required())), false),
        column("tags", Type::Array(Arc::new(Type::String.required())), true),
        column("labels", Type::Map(Arc::new(Type::String.required())), false),
        column("main", item(), true),
        column("mixed", Type::Union(Arc::from([Type::Int.required(), Type::String.required()])), false),
        column("nick", Type::String, true),
        column("score", Type::Long, true),
    ]
}

fn message() -> RecordType {
    RecordType {
        full_name: "shop.PlaceOrder".into(),
        fields: columns()
            .into_iter()
            .map(|column| field(&column.name, column.column.ty, column.column.nullable))
            .collect(),
    }
}

fn check_as(text: &str, expected: Option<&ColumnType>) -> Result<Expr, Vec<SqlProblem>> {
    let (columns, message) = (columns(), message());
    let lets =
        [("total".to_owned(), Type::Long.required()), ("when".to_owned(), Type::TimestampMicros.nullable())];
    let names =
        Names { state: Some(&columns), message: Some(&message), lets: &lets, context: true, enums: &[] };
    expression(text, &names, expected)
}

fn check(text: &str) -> Result<Expr, Vec<SqlProblem>> {
    check_as(text, None)
}

fn over_orders(text: &str) -> Result<ViewSql, Vec<SqlProblem>> {
    let columns = columns();
    view(
        text,
        &ViewScope {
            entity: Some(("orders", &columns)),
            messages: &[("PlaceOrder", &message())],
            enums: &[],
        },
    )
}

fn over_events(text: &str) -> Result<ViewSql, Vec<SqlProblem>> {
    let message = message();
    view(
        text,
        &ViewScope {
            entity: None,
            messages: &[("OrderPlaced", &message), ("PageViewed", &message)],
            enums: &[],
        },
    )
}

/// The rule and the text under each problem, one a line: `rule: text`.
fn problems<T>(text: &str, result: Result<T, Vec<SqlProblem>>) -> String {
    match result {
        Ok(_) => "no problem".to_owned(),
        Err(list) => {
            let lines = list.iter().map(|problem| {
                format!("{}: {}", problem.rule, text.get(problem.span.clone()).expect("a place in the text"))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// The type of an expression as text, with `?` where it may be NULL.
fn type_of(text: &str) -> String {
    match check(text) {
        Ok(expr) => {
            format!("{}{}", types::describe(&expr.column.ty), if expr.column.nullable { "?" } else { "" })
        }
        Err(problems) => panic!("{text}: {problems:#?}"),
    }
}
