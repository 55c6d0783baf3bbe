using Flint.Formats;

namespace Flint.Weights;

/// <summary>A tensor to be made.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its format.</param>
/// <param name="Shape">Its shape, contiguous dimension first.</param>
/// <param name="Mean">The mean of its random values.</param>
/// <param name="Deviation">Their standard deviation.</param>
/// <param name="Values">Its exact values instead (F32).</param>
internal sealed record SynthTensor(string Name, WeightType Type, long[] Shape, float Mean, float Deviation, float[]? Values = null)
{
    /// <summary>The length of its data.</summary>
    public long Bytes => WeightTypes.RowBytes(Type, Shape[0]) * Shape.Skip(1).Aggregate(1L, (a, b) => a * b);
}
