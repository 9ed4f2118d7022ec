//! Which cells each partner answers, from what the agreement says that it holds. Public before any row is
//! read: a node's own tables may never change it. What is not known to be left out counts as served.

use crate::expr::Expr;
use crate::ir::{Contribute, ContributionPlan, RowPlan, SqlContribution};
use crate::keys::values;
use crate::pinned::Pinned;
use crate::relation::{JoinKind, NamedExpr, Relation};
use crate::scope::{Scope, ScopeColumn, Source};
use crate::steps::reads;
use crate::work::{UsedUp, Work};
use cloister_terms::{Dictionary, Holdings, KeyValue, Name, Served};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The cells of every partner that answers any, sorted by partner; empty when all partners hold all. Errors
/// when finding them is more work than the question has left.
pub(crate) fn served(
    dictionary: &Dictionary,
    plan: &ContributionPlan,
    work: &Work,
) -> Result<Vec<Served>, UsedUp> {
    if dictionary.holdings.is_empty() {
        return Ok(Vec::new());
    }
    let pinned = |table: &RowPlan| match &table.filter {
        Some(filter) => Pinned::of(filter, work).map(Rc::new),
        None => Ok(Rc::default()),
    };
    let asked = Asked {
        dictionary,
        tables: &plan.tables,
        pinned: plan.tables.iter().map(pinned).collect::<Result<_, _>>()?,
        whole: RefCell::default(),
        work,
    };
    let mut all = Vec::new();
    for held in &dictionary.holdings {
        all.extend(Reader { asked: &asked, held }.served(plan)?);
    }
    all.sort_by(|left, right| left.partner.cmp(&right.partner));
    Ok(all)
}

/// What is asked of every partner.
struct Asked<'a> {
    dictionary: &'a Dictionary,
    tables: &'a [RowPlan],
    /// What the filter of each table says.
    pinned: Vec<Rc<Pinned>>,
    /// The values of expressions on tables whose public lists are whole: they are the same for all partners.
    whole: RefCell<HashMap<(u32, Expr), Values>>,
    work: &'a Work,
}

/// Reads a relation with one partner's holdings in mind.
struct Reader<'a> {
    asked: &'a Asked<'a>,
    held: &'a Holdings,
}

/// Every value that an expression can have at the partner; `None` when that is not known.
type Values = Option<Rc<BTreeSet<KeyValue>>>;

impl Reader<'_> {
    /// The cells of the partner; `None` when it answers none.
    fn served(&self, plan: &ContributionPlan) -> Result<Option<Served>, UsedUp> {
        let positions: Vec<Vec<u32>> = match &plan.contribute {
            Contribute::Module(_) => {
                if !plan.tables.iter().all(|table| self.held.holds(&table.dataset)) {
                    return Ok(None);
                }
                let whole = |size: usize| (0u32..).take(size).collect::<Vec<u32>>();
                plan.shape.keys.iter().map(|key| whole(key.values.len())).collect()
            }
            Contribute::Sql(sql) => {
                if self.is_empty(&sql.relation) {
                    return Ok(None);
                }
                self.positions(sql)?
            }
        };
        let is_any = positions.iter().all(|places: &Vec<u32>| !places.is_empty());
        Ok(is_any.then(|| Served { partner: self.held.partner.clone(), positions }))
    }

    /// The values of each public key that the partner serves.
    fn positions(&self, sql: &SqlContribution) -> Result<Vec<Vec<u32>>, UsedUp> {
        // Any partner may have any value of a private key.
        let listed = sql.keys.iter().filter(|key| !key.domain.is_empty());
        let served = listed.map(|key| -> Result<Vec<u32>, UsedUp> {
            let known = self.of(&sql.relation, &key.expr)?;
            let is_served =
                |value: &KeyValue| known.as_ref().is_none_or(|known| known.contains(value));
            let places = (0u32..).zip(&key.domain);
            Ok(places.filter(|(_, value)| is_served(value)).map(|(place, _)| place).collect())
        });
        served.collect()
    }

    /// Whether the partner has no row here, whoever the person.
    fn is_empty(&self, relation: &Relation) -> bool {
        match relation {
            Relation::Table { table } => {
                let table = self.asked.tables.get(*table as usize);
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

    /// The values of an expression over a relation's columns. Results of CASE that are such results again
    /// double with each step: each is counted.
    fn of(&self, relation: &Relation, expr: &Expr) -> Result<Values, UsedUp> {
        self.asked.work.take(1)?;
        match expr {
            Expr::Column { name } => self.column(relation, name),
            Expr::Literal { value } => {
                Ok(value.key_value().map(|value| Rc::new(BTreeSet::from([value]))))
            }
            Expr::Null { .. } => Ok(Some(Rc::default())),
            Expr::Case { branches, otherwise, .. } => {
                let results = branches.iter().map(|branch| &branch.then);
                let results = results.chain(otherwise.as_deref());
                self.joined(results.map(|result| self.of(relation, result)))
            }
            _ => match relation {
                Relation::Table { table } => self.on_table(*table, expr),
                _ => Ok(None),
            },
        }
    }

    /// The values of an expression on the rows of a table that its filter keeps: months between two
    /// dates, what a function makes of the partner's part of a domain.
    fn on_table(&self, index: u32, expr: &Expr) -> Result<Values, UsedUp> {
        let place = index as usize;
        let (Some(table), Some(pinned)) =
            (self.asked.tables.get(place), self.asked.pinned.get(place))
        else {
            return Ok(None);
        };
        let Some(dataset) = self.asked.dictionary.dataset(table.dataset.as_str()) else {
            return Ok(None);
        };
        let own = |name: &Name| self.held.values(&dataset.name, name);
        let read = reads(expr);
        let is_whole = read.iter().all(|name| own(name).is_none());
        let key = (index, expr.clone());
        if is_whole && let Some(known) = self.asked.whole.borrow().get(&key) {
            return Ok(known.clone());
        }
        // Public lists are copied for each expression.
        let listed = dataset.columns.iter().filter(|column| read.contains(&column.name));
        let lists = listed.map(|column| own(&column.name).map_or(0, <[_]>::len));
        self.asked.work.take(lists.sum::<usize>())?;
        let columns = dataset.columns.iter().filter(|column| read.contains(&column.name));
        let columns = columns.map(|column| {
            let mut known = ScopeColumn::of_dataset(dataset, column);
            if let Some(values) = own(&column.name) {
                known.domain = Some(values.into());
            }
            known
        });
        let source = Source { called: None, columns: columns.collect() };
        let names = Scope::of(&[source], self.asked.work);
        let scope = Scope { pinned: Rc::clone(pinned), ..names };
        let found: Values =
            values(expr, &scope)?.map(|values| Rc::new(values.into_iter().collect()));
        if is_whole {
            self.asked.whole.borrow_mut().insert(key, found.clone());
        }
        Ok(found)
    }

    fn column(&self, relation: &Relation, name: &Name) -> Result<Values, UsedUp> {
        self.asked.work.take(1)?;
        match relation {
            Relation::Table { table } => {
                self.on_table(*table, &Expr::Column { name: name.clone() })
            }
            Relation::Filter { of, .. } | Relation::Distinct { of } => self.column(of, name),
            Relation::Project { of, columns } => self.named(of, columns, name),
            // Names are distinct over both sides; a side that lacks one knows nothing of it.
            Relation::Join { left, right, .. } => match self.column(left, name)? {
                None => self.column(right, name),
                known => Ok(known),
            },
            Relation::Lookup { of, .. } | Relation::Window { of, .. } => self.column(of, name),
            Relation::Union { of } => {
                let parts = of.iter().filter(|part| !self.is_empty(part));
                self.joined(parts.map(|part| self.column(part, name)))
            }
            Relation::PerPerson { of, keys, .. } => self.named(of, keys, name),
        }
    }

    /// The values of the column of that name, made of a step's columns.
    fn named(&self, of: &Relation, columns: &[NamedExpr], name: &Name) -> Result<Values, UsedUp> {
        match columns.iter().find(|column| column.name == *name) {
            Some(column) => self.of(of, &column.expr),
            None => Ok(None),
        }
    }

    /// The values of all parts; `None` when those of one are not known.
    fn joined(
        &self,
        parts: impl Iterator<Item = Result<Values, UsedUp>>,
    ) -> Result<Values, UsedUp> {
        let mut all = BTreeSet::new();
        for part in parts {
            let Some(values) = part? else { return Ok(None) };
            self.asked.work.take(values.len())?;
            all.extend(values.iter().cloned());
        }
        Ok(Some(Rc::new(all)))
    }
}

#[cfg(test)]
mod tests {
    use crate::Planned;
    use crate::tests::{planned_over, rho, several};
    use cloister_terms::{Dictionary, KeyValue, Served};

    fn held(holdings: &str) -> Dictionary {
        let mut json = serde_json::to_value(several()).unwrap();
        json["holdings"] = serde_json::from_str(holdings).unwrap();
        serde_json::from_value(json).unwrap()
    }

    fn planned(dictionary: &Dictionary, text: &str) -> Planned {
        planned_over(dictionary, text, rho("1")).unwrap()
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
