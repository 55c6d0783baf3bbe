using Flint.Formats;
using Flint.Memory;
using Flint.Weights;

namespace Flint.Models;

/// <summary>A model with an adapter worked into its weights: W + (α / rank)·B·A in place of W.</summary>
public static unsafe class LoraMerge
{
    /// <summary>
    /// Writes the merged model. Tensors keep their types, so a quantized model is rounded anew where it changes; for the closest
    /// result merge into F32, F16 or BF16 and quantize then. The file appears under its name when it is whole.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="adapter">An adapter for it.</param>
    /// <param name="target">Where to; an existing file is replaced. Not a file of the model.</param>
    /// <param name="type">The type that changed tensors get instead; null for their own.</param>
    /// <exception cref="FlintException">
    /// Caller: the target is the model, or the type cannot be written. Model file: the adapter does not fit, or a merged weight is
    /// too large for its type. Machine: the file cannot be written.
    /// </exception>
    public static void Write(GgufFile model, LoraAdapter adapter, string target, WeightType? type = null)
    {
        adapter.CheckFits(model, "adapter");
        AtomicFile.CheckIsNot(model, target);
        if (type is { } wanted && !WeightTypes.IsSupported(wanted))
            throw FlintException.Caller("unsupported_weight_type", $"Weights cannot be encoded in {WeightTypes.Name(wanted)}.");
        Dictionary<string, LoraMatrix> changes = adapter.Matrices.ToDictionary(m => m.Tensor);
        TensorInfo[] tensors = [.. model.Tensors];
        AtomicFile.Write(target, stream =>
        {
            using GgufWriter writer = new(stream);
            foreach ((string key, object value) in model.Metadata)
            {
                if (!GgufWriter.IsOfOneFile(key)) writer.Add(key, value);
            }

            foreach (TensorInfo tensor in tensors)
                writer.AddTensor(tensor.Name, changes.ContainsKey(tensor.Name) ? type ?? tensor.Type : tensor.Type, tensor.Shape);
            writer.WriteHeader();
            foreach (TensorInfo tensor in tensors)
            {
                if (changes.TryGetValue(tensor.Name, out LoraMatrix? matrix)) WriteMerged(writer, tensor, matrix, adapter.Alpha / matrix.Rank, type ?? tensor.Type);
                else writer.WriteData(tensor.Data, tensor.Bytes);
            }

            writer.Finish();
        });
    }

    private static void WriteMerged(GgufWriter writer, TensorInfo tensor, LoraMatrix matrix, float scale, WeightType type)
    {
        using NativeBuffer values = NativeBuffer.Of<float>(matrix.Columns), encoded = new(WeightTypes.RowBytes(type, matrix.Columns));
        var row = (float*)values.Pointer;
        double[] sums = new double[matrix.Columns];
        long sourceBytes = WeightTypes.RowBytes(tensor.Type, matrix.Columns);
        float limit = WeightTypes.Largest(type);
        for (int r = 0; r < matrix.Rows; r++)
        {
            WeightTypes.DecodeRow(tensor.Type, tensor.Data + r * sourceBytes, row, matrix.Columns);
            Array.Clear(sums);
            for (int k = 0; k < matrix.Rank; k++)
            {
                double b = (double)matrix.B[r * matrix.Rank + k] * scale;
                ReadOnlySpan<float> a = matrix.A.AsSpan(k * matrix.Columns, matrix.Columns);
                for (int c = 0; c < a.Length; c++) sums[c] += b * a[c];
            }

            for (int c = 0; c < sums.Length; c++)
            {
                row[c] = (float)(row[c] + sums[c]);
                if (!(MathF.Abs(row[c]) <= limit))
                    throw FlintException.File("weight_range", $"{tensor.File}: tensor {tensor.Name}, row {r}, column {c}: the merged weight is {row[c]:G6}; expected a number up to {limit:G6} for {WeightTypes.Name(type)}.");
            }

            WeightTypes.EncodeRow(type, row, encoded.Pointer, matrix.Columns);
            writer.WriteData(encoded.Pointer, encoded.Length);
        }
    }
}
