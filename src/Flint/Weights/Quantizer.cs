using Flint.Formats;
using Flint.Memory;

namespace Flint.Weights;

/// <summary>
/// Rewrites a model in another weight format or mix of formats, tensor by tensor and in pieces, so that memory stays bounded. The
/// same source and options give the same file, byte for byte, on any number of threads and any processor.
/// </summary>
public sealed unsafe class Quantizer : IDisposable
{
    /// <summary>Threads at most.</summary>
    public const int MaxThreads = 64;

    /// <summary>Weights of a piece: whole blocks of every format.</summary>
    private const int PieceLength = 1 << 16;

    private const int MostBytesPerWeight = sizeof(float);
    private const uint QuantizationVersion = 2;

    private const string FileTypeKey = "general.file_type", VersionKey = "general.quantization_version";

    private readonly int _threads;
    private readonly int _pieces;
    private readonly NativeBuffer _values;
    private readonly NativeBuffer _decoded;
    private readonly NativeBuffer _encoded;
    private readonly Piece[] _results;

    private Quantizer(int threads)
    {
        _threads = threads == 0 ? Math.Min(Environment.ProcessorCount, MaxThreads) : threads;
        _pieces = 4 * _threads;
        _values = new((long)_pieces * PieceLength * sizeof(float));
        _decoded = new((long)_pieces * PieceLength * sizeof(float));
        _encoded = new((long)_pieces * PieceLength * MostBytesPerWeight);
        _results = new Piece[_pieces];
    }

    /// <summary>The names of the formats and mixes.</summary>
    public static IReadOnlyList<string> Mixes => QuantMix.Names;

    private record struct Piece(double SquaredError, double SquaredValues, double LargestError, long Bad);

    /// <summary>
    /// Writes a model in another format. The file appears under its name when it is whole; until then it is
    /// <c>TARGET.partial</c>, which is removed where something fails.
    /// </summary>
    /// <param name="source">The model, of any architecture and in any supported formats.</param>
    /// <param name="target">Where to; an existing file is replaced. Not a file of the source.</param>
    /// <param name="options">What to make.</param>
    /// <param name="progress">Called after each tensor.</param>
    /// <returns>What became of each tensor.</returns>
    /// <exception cref="FlintException">
    /// The options or the target are wrong (<see cref="FaultSide.Caller"/>), a tensor holds something that is no number or too large
    /// for the format, or is stored in a format that cannot be decoded (<see cref="FaultSide.ModelFile"/>), or the file cannot be
    /// written (<see cref="FaultSide.Machine"/>).
    /// </exception>
    public static IReadOnlyList<QuantizedTensor> Write(GgufFile source, string target, QuantizerOptions options, Action<QuantizedTensor>? progress = null)
    {
        QuantMix mix = QuantMix.Find(options.Mix);
        if (options.OutputType is { } output && !WeightTypes.IsSupported(output))
            throw FlintException.Caller("unsupported_weight_type", $"Weights cannot be encoded in {WeightTypes.Name(output)}.");
        if (options.Threads is < 0 or > MaxThreads)
            throw FlintException.Caller("threads", $"Expected 0 to {MaxThreads} threads, found {options.Threads}.");
        AtomicFile.CheckIsNot(source, target);
        using Quantizer quantizer = new(options.Threads);
        IReadOnlyList<QuantizedTensor> tensors = [];
        AtomicFile.Write(target, stream => tensors = quantizer.Write(source, stream, mix, options.OutputType, progress));
        return tensors;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _values.Dispose();
        _decoded.Dispose();
        _encoded.Dispose();
    }

    private List<QuantizedTensor> Write(GgufFile source, Stream stream, QuantMix mix, WeightType? outputType, Action<QuantizedTensor>? progress)
    {
        TensorInfo[] tensors = [.. source.Tensors];
        QuantPlan plan = new(mix, outputType, [.. tensors.Select(t => t.Name)], ModelFacts.Of(source.Metadata));
        (WeightType Type, bool IsFallback)[] planned = [.. tensors.Select(t => plan.TypeOf(t.Name, t.Shape, t.Type))];
        using GgufWriter writer = new(stream);
        foreach ((string key, object value) in source.Metadata)
        {
            if (!GgufWriter.IsOfOneFile(key) && key is not (FileTypeKey or VersionKey))
                writer.Add(key, value);
        }
        writer.Add(VersionKey, QuantizationVersion);
        writer.Add(FileTypeKey, mix.FileType);
        for (int i = 0; i < tensors.Length; i++)
        {
            if (tensors[i].Type != planned[i].Type && !WeightTypes.IsSupported(tensors[i].Type))
                throw FlintException.File("unsupported_weight_type", $"{tensors[i].File}: tensor {tensors[i].Name} is stored in {WeightTypes.Name(tensors[i].Type)}, which cannot be decoded.");
            writer.AddTensor(tensors[i].Name, planned[i].Type, tensors[i].Shape);
        }
        writer.WriteHeader();
        List<QuantizedTensor> results = new(tensors.Length);
        for (int i = 0; i < tensors.Length; i++)
        {
            QuantizedTensor result = WriteTensor(writer, tensors[i], planned[i].Type, planned[i].IsFallback);
            results.Add(result);
            progress?.Invoke(result);
        }
        writer.Finish();
        return results;
    }

    private QuantizedTensor WriteTensor(GgufWriter writer, TensorInfo tensor, WeightType type, bool isFallback)
    {
        Piece sum = default;
        long bytes = 0, written = 0, elements = tensor.Elements;
        if (!WeightTypes.IsSupported(tensor.Type)) // indices and the like, which are no weights
        {
            writer.WriteData(tensor.Data, bytes = tensor.Bytes);
            elements = 0;
        }
        while (written < elements)
        {
            int pieces = (int)Math.Min(_pieces, (elements - written + PieceLength - 1) / PieceLength);
            long first = written;
            Parallel.For(0, pieces, new ParallelOptions { MaxDegreeOfParallelism = _threads }, piece =>
                _results[piece] = Convert(piece, tensor, type, first + (long)piece * PieceLength));
            for (int piece = 0; piece < pieces; piece++)
            {
                Piece result = _results[piece];
                if (result.Bad >= 0)
                    throw BadWeight(tensor, type, result.Bad, result.LargestError);
                int n = (int)Math.Min(PieceLength, elements - written);
                writer.WriteData(_encoded.Pointer + (long)piece * PieceLength * MostBytesPerWeight, WeightTypes.RowBytes(type, n));
                bytes += WeightTypes.RowBytes(type, n);
                written += n;
                sum.SquaredError += result.SquaredError;
                sum.SquaredValues += result.SquaredValues;
                sum.LargestError = Math.Max(sum.LargestError, result.LargestError);
            }
        }
        return new(tensor.Name, tensor.Shape, tensor.Type, type, isFallback, tensor.Bytes, bytes, sum.SquaredError, sum.SquaredValues, sum.LargestError);
    }

    /// <summary>Converts one piece into its place; where a weight cannot be stored, <see cref="Piece.Bad"/> is its index and the error is its value.</summary>
    private Piece Convert(int piece, TensorInfo tensor, WeightType type, long first)
    {
        int n = (int)Math.Min(PieceLength, tensor.Elements - first);
        byte* src = tensor.Data + WeightTypes.RowBytes(tensor.Type, first);
        float* values = (float*)_values.Pointer + (long)piece * PieceLength;
        byte* encoded = _encoded.Pointer + (long)piece * PieceLength * MostBytesPerWeight;
        WeightTypes.DecodeRow(tensor.Type, src, values, n);
        float limit = Limit(tensor, type);
        for (int i = 0; i < n; i++)
        {
            if (!(MathF.Abs(values[i]) <= limit))
                return new Piece(0, 0, values[i], first + i);
        }
        if (type == tensor.Type)
        {
            Buffer.MemoryCopy(src, encoded, WeightTypes.RowBytes(type, n), WeightTypes.RowBytes(type, n));
            return Compare(values, values, n);
        }
        float* decoded = (float*)_decoded.Pointer + (long)piece * PieceLength;
        WeightTypes.EncodeRow(type, values, encoded, n);
        WeightTypes.DecodeRow(type, encoded, decoded, n);
        return Compare(values, decoded, n);
    }

    private static Piece Compare(float* values, float* decoded, int n)
    {
        double squaredError = 0, squaredValues = 0, largest = 0;
        for (int i = 0; i < n; i++)
        {
            double error = (double)decoded[i] - values[i];
            squaredError += error * error;
            squaredValues += (double)values[i] * values[i];
            largest = Math.Max(largest, Math.Abs(error));
        }
        return new Piece(squaredError, squaredValues, largest, -1);
    }

    private static float Limit(TensorInfo tensor, WeightType type) => type == tensor.Type ? float.MaxValue : WeightTypes.Largest(type);

    private static FlintException BadWeight(TensorInfo tensor, WeightType type, long index, double value) => FlintException.File(
        double.IsFinite(value) ? "weight_range" : "weight_not_finite",
        $"{tensor.File}: tensor {tensor.Name}, element {index}: expected a number up to {Limit(tensor, type):G6} for {WeightTypes.Name(type)}, found {value:G6}.");
}
