//! Integer `+`, `-` and `*` that fail where DataFusion's own would silently wrap around.
//!
//! After types are settled, an analyzer rule puts a checked function in the place of each such
//! operator. Decimals are checked by Arrow itself; floating point has infinities.

use std::sync::Arc;

use arrow::{
    compute::kernels::numeric::{add, mul, sub},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{
        DFSchema, Result as DfResult, ScalarValue,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    physical_expr_common::datum::apply,
};

/// Puts checked functions in the place of integer operators.
#[derive(Debug)]
pub(super) struct CheckedArithmetic {
    add: Arc<ScalarUDF>,
    subtract: Arc<ScalarUDF>,
    multiply: Arc<ScalarUDF>,
}

impl CheckedArithmetic {
    pub(super) fn new() -> Self {
        let function = |operation| Arc::new(ScalarUDF::new_from_impl(Checked::new(operation)));
        Self {
            add: function(Operation::Add),
            subtract: function(Operation::Subtract),
            multiply: function(Operation::Multiply),
        }
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
        let integer = |expr: &Expr| expr.get_type(schema).ok().filter(DataType::is_integer);
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let function = match op {
                    Operator::Plus => &self.add,
                    Operator::Minus => &self.subtract,
                    Operator::Multiply => &self.multiply,
                    _ => return Ok(Transformed::no(binary(left, op, right))),
                };
                match (integer(&left), integer(&right)) {
                    (Some(a), Some(b)) if a == b => {
                        Ok(Transformed::yes(function.call(vec![*left, *right])))
                    }
                    // Of two kinds: both are brought to the one that the operator has, which
                    // holds every value of both or fails.
                    (Some(_), Some(_)) => {
                        let whole = binary(left.clone(), op, right.clone()).get_type(schema)?;
                        let arguments =
                            vec![left.cast_to(&whole, schema)?, right.cast_to(&whole, schema)?];
                        Ok(Transformed::yes(function.call(arguments)))
                    }
                    _ => Ok(Transformed::no(binary(left, op, right))),
                }
            }
            Expr::Negative(inner) => match integer(&inner) {
                Some(data_type) => {
                    let zero = Expr::Literal(ScalarValue::new_zero(&data_type)?, None);
                    Ok(Transformed::yes(self.subtract.call(vec![zero, *inner])))
                }
                None => Ok(Transformed::no(Expr::Negative(inner))),
            },
            other => Ok(Transformed::no(other)),
        }
    }
}

fn binary(left: Box<Expr>, op: Operator, right: Box<Expr>) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left, op, right })
}

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> DfResult<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| self.rewrite(expr, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

/// One checked operation on two integers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        Self { operation, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        match types {
            [left, right] if left == right && left.is_integer() => Ok(left.clone()),
            _ => plan_err!("{} takes two integers of one type", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return plan_err!("{} takes two integers", self.name());
        };
        match self.operation {
            Operation::Add => apply(left, right, add),
            Operation::Subtract => apply(left, right, sub),
            Operation::Multiply => apply(left, right, mul),
        }
    }
}
