using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Memory;

namespace Flint.Weights;

/// <summary>
/// Writes model files of real shapes with random weights, straight in the quantized format, so that speed and memory can be known
/// before a download. The weights are bell-shaped with the spread of freshly initialised ones; the tokenizer is a valid byte-level
/// BPE of the shape's own size over made-up words.
/// </summary>
public static unsafe class Synth
{
    /// <summary>Layers at most.</summary>
    public const int MaxLayers = 1000;

    private const int PieceBytes = 1 << 20;
    private const int Pieces = 16;

    /// <summary>The names of the shapes.</summary>
    public static IReadOnlyList<string> Shapes { get; } = [.. SynthShape.All.Select(s => s.Name)];

    /// <summary>The names of the formats and mixes.</summary>
    public static IReadOnlyList<string> Quants => QuantMix.Names;

    /// <summary>Writes a file; an existing one is replaced, and an unfinished one is removed.</summary>
    /// <param name="options">What to write.</param>
    /// <param name="path">Where to.</param>
    /// <param name="progress">Called now and then with the bytes of weights written and their total.</param>
    /// <exception cref="FlintException">
    /// The options name something unknown (<see cref="FaultSide.Caller"/>), or the file cannot be written (<see cref="FaultSide.Machine"/>).
    /// </exception>
    public static void Write(SynthOptions options, string path, Action<long, long>? progress = null)
    {
        SynthShape shape = SynthShape.All.FirstOrDefault(s => s.Name == options.Shape)
            ?? throw FlintException.Caller("unknown_shape", $"Unknown shape '{options.Shape}': expected one of {string.Join(", ", Shapes)}.");
        QuantMix quant = QuantMix.Find(options.Quant);
        if (options.Layers is < 1 or > MaxLayers)
            throw FlintException.Caller("layers", $"Expected 1 to {MaxLayers} layers, found {options.Layers}.");
        shape = shape with { Layers = options.Layers ?? shape.Layers };
        try
        {
            Write(shape, quant, options.Seed, path, progress);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{path}: cannot be written: {e.Message}", e);
        }
    }

    internal static void Write(SynthShape shape, QuantMix quant, ulong seed, string path, Action<long, long>? progress)
    {
        FileStream stream = new(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        bool whole = false;
        try
        {
            using GgufWriter writer = new(stream);
            shape.AddMetadata(writer, quant);
            SynthTensor[] tensors = [.. shape.Tensors(quant)];
            foreach (SynthTensor tensor in tensors)
                writer.AddTensor(tensor.Name, tensor.Type, tensor.Shape);
            writer.WriteHeader();
            WriteData(writer, tensors, seed, progress);
            writer.Finish();
            whole = true;
        }
        finally
        {
            if (!whole)
                File.Delete(path);
        }
    }

    private static void WriteData(GgufWriter writer, SynthTensor[] tensors, ulong seed, Action<long, long>? progress)
    {
        Dictionary<(WeightType, float, float), SynthBlocks> fillers = [];
        using NativeBuffer pieces = new(Pieces * PieceBytes);
        long total = tensors.Sum(t => t.Bytes);
        long done = 0;
        for (int i = 0; i < tensors.Length; i++)
        {
            SynthTensor tensor = tensors[i];
            if (tensor.Values is not null)
            {
                writer.WriteData(MemoryMarshal.AsBytes<float>(tensor.Values));
                done += tensor.Bytes;
                continue;
            }
            (WeightType, float, float) key = (tensor.Type, tensor.Mean, tensor.Deviation);
            if (!fillers.TryGetValue(key, out SynthBlocks? filler))
                fillers.Add(key, filler = new SynthBlocks(tensor.Type, tensor.Mean, tensor.Deviation));
            for (long at = 0; at < tensor.Bytes;)
            {
                int bytes = FillPieces(pieces, filler, tensor, at, seed, i);
                writer.WriteData(new ReadOnlySpan<byte>(pieces.Pointer, bytes));
                at += bytes;
                done += bytes;
                progress?.Invoke(done, total);
            }
        }
    }

    // The next pieces of a tensor, made on all cores. Each has a random stream of its own, so the bytes do not depend on the cores.
    private static int FillPieces(NativeBuffer pieces, SynthBlocks filler, SynthTensor tensor, long at, ulong seed, int index)
    {
        int blockBytes = WeightTypes.BlockBytes(tensor.Type);
        int pieceBytes = PieceBytes / blockBytes * blockBytes;
        int bytes = (int)Math.Min(tensor.Bytes - at, Pieces * pieceBytes);
        ulong stream = ((ulong)index << 32) + (ulong)(at / pieceBytes);
        Parallel.For(0, (bytes + pieceBytes - 1) / pieceBytes, piece =>
        {
            SplitMix random = new(seed, stream + (ulong)piece);
            int start = piece * pieceBytes;
            filler.Fill(pieces.Pointer + start, Math.Min(pieceBytes, bytes - start) / blockBytes, ref random);
        });
        return bytes;
    }
}
