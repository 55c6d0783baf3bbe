using Flint.Formats;

namespace Flint.Weights;

/// <summary>What became of one tensor of a model that was quantized.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Shape">Its shape, contiguous dimension first.</param>
/// <param name="From">The type it had.</param>
/// <param name="To">The type it got.</param>
/// <param name="IsFallback">Whether its rows did not fit the type that the mix gives, so that another stood in.</param>
/// <param name="SourceBytes">Bytes of its data before.</param>
/// <param name="Bytes">Bytes of its data now.</param>
/// <param name="SquaredError">The sum of the squared differences between the values before and now.</param>
/// <param name="SquaredValues">The sum of the squared values before.</param>
/// <param name="LargestError">The largest difference.</param>
public sealed record QuantizedTensor(
    string Name, long[] Shape, WeightType From, WeightType To, bool IsFallback, long SourceBytes, long Bytes, double SquaredError, double SquaredValues, double LargestError)
{
    /// <summary>The root mean square of the differences, relative to that of the values; 0 where nothing was lost.</summary>
    public double RelativeError => SquaredError == 0 ? 0 : Math.Sqrt(SquaredError / SquaredValues);
}
