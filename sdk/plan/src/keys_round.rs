//! The first of two rounds: which private keys there are. It counts people and nothing else, so that all
//! of the round's cost goes to the one count that decides what is shown. It must read and bound a
//! person's rows exactly as the round that follows, or keys would be found that are then not answered.

use crate::error::PlanError;
use crate::ir::{Contribute, SqlContribution};
use crate::lanes::Lanes;
use crate::planned::{Draft, DraftPrivate};
use crate::sql::draft_lane;
use cloister_terms::{Formula, Recipe, ResultColumn};

/// Heading of the count of people.
const PEOPLE: &str = "people";
/// The same where a key has that name.
const PEOPLE_COUNTED: &str = "people (counted)";

/// What finds the private keys of `draft`. Errors when it has none.
pub(crate) fn keys_draft(draft: &Draft) -> Result<Draft, PlanError> {
    let (Contribute::Sql(sql), Some(private)) = (&draft.contribute, &draft.private) else {
        return Err(PlanError::RoundsUnused);
    };
    let mut lanes = Lanes::new(draft.row_cap);
    let persons_lane = lanes.persons()?;
    let lanes = lanes.into_lanes();
    let is_key = |column: &&ResultColumn| matches!(column.formula, Formula::Key { .. });
    let mut columns: Vec<_> = draft.columns.iter().filter(is_key).cloned().collect();
    let is_taken = columns.iter().any(|column| column.name == PEOPLE);
    let name = if is_taken { PEOPLE_COUNTED } else { PEOPLE }.to_owned();
    columns.push(ResultColumn { name, formula: Formula::Total { lane: persons_lane } });
    Ok(Draft {
        tables: draft.tables.clone(),
        keys: draft.keys.clone(),
        lanes: lanes.iter().map(|lane| draft_lane(lane, draft.row_cap)).collect(),
        contribute: Contribute::Sql(SqlContribution {
            relation: sql.relation.clone(),
            keys: sql.keys.clone(),
            lanes: lanes.into_iter().map(|lane| lane.expr).collect(),
        }),
        columns,
        recipe: Recipe::default(),
        private: Some(DraftPrivate {
            types: private.types.clone(),
            persons_lane: Some(persons_lane),
        }),
        row_cap: draft.row_cap,
        cells_per_person_max: draft.cells_per_person_max,
        places: draft.places,
    })
}
