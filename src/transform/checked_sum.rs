//! `sum` that fails where DataFusion's own would silently wrap around.
//!
//! Integers and decimals are summed in 128 bits; the result is checked against its type once, at
//! the end. Everything else is DataFusion's `sum`.

use std::{mem::size_of, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, UInt64Array},
    buffer::NullBuffer,
    datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type},
    error::ArrowError,
};
use datafusion::{
    common::{DataFusionError, Result as DfResult, ScalarValue, exec_err},
    functions_aggregate::sum::Sum,
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
        SetMonotonicity, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

/// The function to register in the place of `sum`.
pub(super) fn checked_sum() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(CheckedSum { inner: Sum::new() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Sum,
}

/// Whether sums of `result` are taken in 128 bits.
fn is_wide(result: &DataType, is_distinct: bool) -> bool {
    let known = matches!(result, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, _));
    known && !is_distinct
}

/// The type of a sum in progress.
fn state_type(result: &DataType) -> DataType {
    match result {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        _ => DataType::Decimal128(38, 0),
    }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        if is_wide(args.return_field.data_type(), args.is_distinct) {
            return Ok(Box::new(WideSum::new(args.return_field.data_type())));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        if is_wide(args.return_field.data_type(), args.is_distinct) {
            return Ok(Box::new(WideSum::new(args.return_field.data_type())));
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        if is_wide(args.return_type(), args.is_distinct) {
            let name = format_state_name(args.name, "sum");
            return Ok(vec![Arc::new(Field::new(name, state_type(args.return_type()), true))]);
        }
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        let result = args.return_field.data_type();
        if is_wide(result, args.is_distinct) {
            let result = result.clone();
            return Ok(Box::new(WideSums { result, sums: Vec::new(), seen: Vec::new() }));
        }
        self.inner.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }
}

fn overflow() -> DataFusionError {
    ArrowError::ArithmeticOverflow("a sum does not fit its type".to_owned()).into()
}

/// Calls `each` with the row and the value of everything in `array` that is not NULL.
fn for_each(array: &ArrayRef, mut each: impl FnMut(usize, i128) -> DfResult<()>) -> DfResult<()> {
    let nulls = array.nulls();
    let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let mut visit = |row: usize, value: i128| if valid(row) { each(row, value) } else { Ok(()) };
    match array.data_type() {
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values().iter().enumerate();
            values.into_iter().try_for_each(|(row, value)| visit(row, i128::from(*value)))
        }
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().values().iter().enumerate();
            values.into_iter().try_for_each(|(row, value)| visit(row, i128::from(*value)))
        }
        DataType::Decimal128(_, _) => {
            let values = array.as_primitive::<Decimal128Type>().values().iter().enumerate();
            values.into_iter().try_for_each(|(row, value)| visit(row, *value))
        }
        other => exec_err!("sum was planned for another type than {other}"),
    }
}

fn only(arrays: &[ArrayRef]) -> DfResult<&ArrayRef> {
    let [array] = arrays else { return exec_err!("sum takes one argument") };
    Ok(array)
}

/// `sums` as an array of `result`, or an error for the first that does not fit.
fn finished(sums: Vec<i128>, nulls: Option<NullBuffer>, result: &DataType) -> DfResult<ArrayRef> {
    Ok(match result {
        DataType::Int64 => {
            let fit: Option<Vec<_>> = sums.into_iter().map(|sum| i64::try_from(sum).ok()).collect();
            Arc::new(Int64Array::new(fit.ok_or_else(overflow)?.into(), nulls))
        }
        DataType::UInt64 => {
            let fit: Option<Vec<_>> = sums.into_iter().map(|sum| u64::try_from(sum).ok()).collect();
            Arc::new(UInt64Array::new(fit.ok_or_else(overflow)?.into(), nulls))
        }
        DataType::Decimal128(precision, _) => {
            let array = Decimal128Array::new(sums.into(), nulls).with_data_type(result.clone());
            array.validate_decimal_precision(*precision).map_err(|_| overflow())?;
            Arc::new(array)
        }
        other => return exec_err!("sum was planned for another type than {other}"),
    })
}

/// The sum of one group, also of a window that slides.
#[derive(Debug)]
struct WideSum {
    result: DataType,
    sum: i128,
    /// Values in the sum; NULL when there are none.
    count: u64,
}

impl WideSum {
    fn new(result: &DataType) -> Self {
        Self { result: result.clone(), sum: 0, count: 0 }
    }
}

impl Accumulator for WideSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for_each(only(values)?, |_, value| {
            self.sum = self.sum.checked_add(value).ok_or_else(overflow)?;
            self.count += 1;
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for_each(only(values)?, |_, value| {
            self.sum = self.sum.checked_sub(value).ok_or_else(overflow)?;
            self.count = self.count.saturating_sub(1);
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let sum = (self.count > 0).then_some(self.sum);
        match state_type(&self.result) {
            DataType::Decimal128(precision, scale) => {
                Ok(vec![ScalarValue::Decimal128(sum, precision, scale)])
            }
            other => exec_err!("a sum in progress cannot be {other}"),
        }
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        ScalarValue::try_from_array(&finished(vec![self.sum], None, &self.result)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The sums of many groups.
struct WideSums {
    result: DataType,
    sums: Vec<i128>,
    /// Whether a group has any value; its sum is NULL if not.
    seen: Vec<bool>,
}

impl WideSums {
    fn take(&mut self, emit_to: EmitTo) -> (Vec<i128>, Option<NullBuffer>) {
        let sums = emit_to.take_needed(&mut self.sums);
        let seen = emit_to.take_needed(&mut self.seen);
        let nulls = NullBuffer::from(seen);
        (sums, (nulls.null_count() > 0).then_some(nulls))
    }
}

impl GroupsAccumulator for WideSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.sums.resize(total_num_groups, 0);
        self.seen.resize(total_num_groups, false);
        for_each(only(values)?, |row, value| {
            if opt_filter.is_some_and(|filter| !(filter.is_valid(row) && filter.value(row))) {
                return Ok(());
            }
            let group = group_indices.get(row).copied().unwrap_or(usize::MAX);
            let (Some(sum), Some(seen)) = (self.sums.get_mut(group), self.seen.get_mut(group))
            else {
                return exec_err!("a row belongs to no group");
            };
            *sum = sum.checked_add(value).ok_or_else(overflow)?;
            *seen = true;
            Ok(())
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let (sums, nulls) = self.take(emit_to);
        finished(sums, nulls, &self.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let (sums, nulls) = self.take(emit_to);
        let array = Decimal128Array::new(sums.into(), nulls);
        Ok(vec![Arc::new(array.with_data_type(state_type(&self.result)))])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let rows = only(values)?;
        let (mut sums, mut seen) = (vec![0_i128; rows.len()], vec![false; rows.len()]);
        for_each(rows, |row, value| {
            let kept = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (true, Some(sum), Some(seen)) = (kept, sums.get_mut(row), seen.get_mut(row)) {
                (*sum, *seen) = (value, true);
            }
            Ok(())
        })?;
        let array = Decimal128Array::new(sums.into(), Some(NullBuffer::from(seen)));
        Ok(vec![Arc::new(array.with_data_type(state_type(&self.result)))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
