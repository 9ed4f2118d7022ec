//! Which cells each partner answers, from what the agreement says that it holds. Public before any row is
//! read: a node's own tables may never change it. What is not known to be left out counts as served.

use crate::expr::Expr;
use crate::ir::{Contribute, ContributionPlan, RowPlan};
use crate::keys::values;
use crate::relation::{JoinKind, NamedExpr, Relation};
use crate::scope::{Scope, ScopeColumn, Source};
use cloister_terms::{Dictionary, Holdings, KeyValue, Name, Served};
use std::collections::BTreeSet;

/// The cells of every partner that answers any, sorted by partner; empty when all partners hold all.
pub(crate) fn served(dictionary: &Dictionary, plan: &ContributionPlan) -> Vec<Served> {
    let mut all: Vec<Served> =
        dictionary.holdings.iter().filter_map(|held| served_by(dictionary, held, plan)).collect();
    all.sort_by(|left, right| left.partner.cmp(&right.partner));
    all
}

/// The cells of one partner; `None` when it answers none.
fn served_by(dictionary: &Dictionary, held: &Holdings, plan: &ContributionPlan) -> Option<Served> {
    let reader = Reader { dictionary, held, tables: &plan.tables };
    let whole = |size: usize| (0u32..).take(size).collect::<Vec<u32>>();
    let positions: Vec<Vec<u32>> = match &plan.contribute {
        Contribute::Module(_) => {
            if !plan.tables.iter().all(|table| held.holds(&table.dataset)) {
                return None;
            }
            plan.shape.keys.iter().map(|key| whole(key.values.len())).collect()
        }
        Contribute::Sql(sql) => {
            if reader.is_empty(&sql.relation) {
                return None;
            }
            // Any partner may have any value of a private key.
            let listed = sql.keys.iter().filter(|key| !key.domain.is_empty());
            let keys = listed.map(|key| {
                let known = reader.of(&sql.relation, &key.expr);
                let is_served =
                    |value: &KeyValue| known.as_ref().is_none_or(|known| known.contains(value));
                let places = (0u32..).zip(&key.domain);
                places.filter(|(_, value)| is_served(value)).map(|(place, _)| place).collect()
            });
            keys.collect()
        }
    };
    let is_any = positions.iter().all(|places: &Vec<u32>| !places.is_empty());
    is_any.then(|| Served { partner: held.partner.clone(), positions })
}

/// Reads a relation with one partner's holdings in mind.
struct Reader<'a> {
    dictionary: &'a Dictionary,
    held: &'a Holdings,
    tables: &'a [RowPlan],
}

/// Every value that an expression can have at the partner; `None` when that is not known.
type Values = Option<BTreeSet<KeyValue>>;

impl Reader<'_> {
    /// Whether the partner has no row here, whoever the person.
    fn is_empty(&self, relation: &Relation) -> bool {
        match relation {
            Relation::Table { table } => {
                let table = self.tables.get(*table as usize);
                table.is_none_or(|table| !self.held.holds(&table.dataset))
            }
            Relation::Filter { of, .. }
            | Relation::Project { of, .. }
            | Relation::Lookup { of, .. }
            | Relation::Distinct { of }
            | Relation::PerPerson { of, .. }
            | Relation::Window { of, .. } => self.is_empty(of),
            Relation::Join { left, right, kind, .. } => {
                self.is_empty(left) || (*kind == JoinKind::Inner && self.is_empty(right))
            }
            Relation::Union { of } => of.iter().all(|part| self.is_empty(part)),
        }
    }

    /// The values of an expression over a relation's columns.
    fn of(&self, relation: &Relation, expr: &Expr) -> Values {
        match expr {
            Expr::Column { name } => self.column(relation, name),
            Expr::Literal { value } => Some(BTreeSet::from([value.key_value()?])),
            Expr::Null { .. } => Some(BTreeSet::new()),
            Expr::Case { branches, otherwise, .. } => {
                let results = branches.iter().map(|branch| &branch.then);
                let results = results.chain(otherwise.as_deref());
                results.map(|result| self.of(relation, result)).try_fold(BTreeSet::new(), joined)
            }
            _ => match relation {
                Relation::Table { table } => self.on_table(*table, expr),
                _ => None,
            },
        }
    }

    /// The values of an expression on the rows of a table that its filter keeps: months between two
    /// dates, what a function makes of the partner's part of a domain.
    fn on_table(&self, table: u32, expr: &Expr) -> Values {
        let table = self.tables.get(table as usize)?;
        let dataset = self.dictionary.dataset(table.dataset.as_str())?;
        let own = |column| {
            let mut known = ScopeColumn::of_dataset(dataset, column);
            if let Some(values) = self.held.values(&dataset.name, &column.name) {
                known.domain = Some(values.into());
            }
            known
        };
        let columns = dataset.columns.iter().map(own).collect();
        let mut scope = Scope::of(&[Source { called: None, columns }]);
        scope.filter = table.filter.clone();
        Some(values(expr, &scope)?.into_iter().collect())
    }

    fn column(&self, relation: &Relation, name: &Name) -> Values {
        match relation {
            Relation::Table { table } => {
                self.on_table(*table, &Expr::Column { name: name.clone() })
            }
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.column(of, name),
            Relation::Project { of, columns } => self.of(of, named(columns, name)?),
            // Names are distinct over both sides; a side that lacks one knows nothing of it.
            Relation::Join { left, right, .. } => {
                self.column(left, name).or_else(|| self.column(right, name))
            }
            Relation::Lookup { of, .. } | Relation::Window { of, .. } => self.column(of, name),
            Relation::Union { of } => {
                let parts = of.iter().filter(|part| !self.is_empty(part));
                parts.map(|part| self.column(part, name)).try_fold(BTreeSet::new(), joined)
            }
            Relation::PerPerson { of, keys, .. } => self.of(of, named(keys, name)?),
        }
    }
}

fn joined(mut all: BTreeSet<KeyValue>, values: Values) -> Values {
    all.extend(values?);
    Some(all)
}

fn named<'e>(columns: &'e [NamedExpr], name: &Name) -> Option<&'e Expr> {
    columns.iter().find(|column| column.name == *name).map(|column| &column.expr)
}

#[cfg(test)]
mod tests {
    use crate::tests::{rho, several};
    use crate::{Planned, Question, plan};
    use cloister_terms::{Body, Dictionary, KeyValue, Served};

    fn held(holdings: &str) -> Dictionary {
        let mut json = serde_json::to_value(several()).unwrap();
        json["holdings"] = serde_json::from_str(holdings).unwrap();
        serde_json::from_value(json).unwrap()
    }

    fn planned(dictionary: &Dictionary, text: &str) -> Planned {
        let body = Body::Sql { text: text.into() };
        let question = Question {
            body: &body,
            row_cap: 20,
            group_cap: 6,
            spend: rho("1"),
            diagnostics: false,
            rounds: 1,
        };
        plan(dictionary, &question).unwrap()
    }

    fn served(holdings: &str, text: &str) -> (Vec<Vec<KeyValue>>, Vec<Served>) {
        let shape = planned(&held(holdings), text).plan.shape;
        (shape.keys.into_iter().map(|key| key.values).collect(), shape.served)
    }

    const PARTNERS: &str = r#"[
        {"partner":"shop","datasets":["ret"],
         "domains":[{"dataset":"ret","column":"country","values":[{"text":"Spain"}]}]},
        {"partner":"bikes","datasets":["mob"]},
        {"partner":"clinic","datasets":["clinic"]}]"#;

    #[test]
    fn each_partner_answers_its_own_part_of_a_union() {
        let (keys, served) = served(
            PARTNERS,
            "SELECT partner, month, COUNT(*) AS n FROM (
               SELECT person_id, 'mobility' AS partner, month FROM mob
               UNION ALL SELECT person_id, 'retail', month FROM ret) AS t GROUP BY partner, month",
        );
        let partner = |one: &Served| keys[0][one.positions[0][0] as usize].to_string();
        let found: Vec<_> = served.iter().map(|one| (one.partner.as_str(), partner(one))).collect();
        assert_eq!(found, [("bikes", "mobility".to_owned()), ("shop", "retail".to_owned())]);
        assert!(served.iter().all(|one| one.positions[0].len() == 1));
    }

    #[test]
    fn errors_are_told_for_the_partners_behind_a_cell_and_not_for_all_that_are_asked() {
        let text = "SELECT partner, month, COUNT(*) AS n FROM (
               SELECT person_id, 'mobility' AS partner, month FROM mob
               UNION ALL SELECT person_id, 'retail', month FROM ret) AS t GROUP BY partner, month";
        let told_of = planned(&held(PARTNERS), text);
        assert_eq!(told_of.plan.shape.partners_behind(3), Ok((1, 1)));
        let told = crate::explain(&told_of, 2, None);
        assert_eq!(told.accuracy, crate::explain(&told_of, 1, None).accuracy);
        assert!(told.to_string().contains("1 of 2; errors are told for 1"), "{told}");
        assert_eq!(planned(&several(), text).plan.shape.partners_behind(3), Ok((3, 3)));
    }

    #[test]
    fn the_months_that_filters_name_are_served_by_who_holds_them() {
        let (keys, served) = served(
            PARTNERS,
            "SELECT partner, m, COUNT(*) AS n FROM (
               SELECT person_id, 'mobility' AS partner, date_trunc('month', start) AS m FROM mob
                 WHERE start >= TIMESTAMP '2019-07-01' AND start < TIMESTAMP '2019-09-01'
               UNION ALL SELECT person_id, 'retail', date_trunc('month', invoice_time) FROM ret
                 WHERE country = 'Spain' AND invoice_time BETWEEN DATE '2011-08-05' AND DATE '2011-09-03') AS t
             GROUP BY partner, m",
        );
        let months = |one: &Served| -> Vec<String> {
            one.positions[1].iter().map(|at| keys[1][*at as usize].to_string()).collect()
        };
        assert_eq!(keys[1].len(), 4);
        assert_eq!(months(&served[0]), ["2019-07-01", "2019-08-01"]);
        assert_eq!(months(&served[1]), ["2011-08-01", "2011-09-01"]);
    }

    #[test]
    fn what_a_function_makes_of_a_part_of_a_domain_is_served() {
        let text = "SELECT UPPER(country) AS c, COUNT(*) AS n FROM ret GROUP BY 1";
        let (keys, served) = served(PARTNERS, text);
        let spain = keys[0].iter().position(|value| value.to_string() == "SPAIN").unwrap();
        assert_eq!(served[0].positions, [[spain as u32]]);
        // What is not known counts as served: a filter above a step is not looked at.
        let text =
            "SELECT k, COUNT(*) AS n FROM (SELECT person_id, LEFT(country, 2) AS k FROM ret) s
                    WHERE k <> 'Sp' GROUP BY k";
        assert_eq!(self::served(PARTNERS, text).1.len(), 1);
    }

    #[test]
    fn a_part_of_a_domain_is_served_and_who_holds_nothing_is_left_out() {
        let (keys, served) =
            served(PARTNERS, "SELECT country, COUNT(*) AS n FROM ret GROUP BY country");
        let spain = keys[0].iter().position(|value| value.to_string() == "Spain").unwrap();
        assert_eq!(served.len(), 1);
        assert_eq!(
            (served[0].partner.as_str(), &served[0].positions),
            ("shop", &vec![vec![spain as u32]])
        );
        let (_, everyone) = self::served("[]", "SELECT COUNT(*) AS n FROM ret");
        assert!(everyone.is_empty());
    }
}
