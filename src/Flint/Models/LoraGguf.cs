using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// Adapters as llama.cpp keeps them: a GGUF file of type <c>adapter</c> that holds, for each adapted tensor NAME, NAME.lora_a
/// [columns, rank] and NAME.lora_b [rank, rows].
/// </summary>
internal static unsafe class LoraGguf
{
    public const string SuffixA = ".lora_a", SuffixB = ".lora_b";
    private const string TypeKey = "general.type", AdapterTypeKey = "adapter.type", AlphaKey = "adapter.lora.alpha";

    public static LoraAdapter Load(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        Expect(file, TypeKey, "adapter");
        Expect(file, AdapterTypeKey, "lora");
        if (file.Metadata.Contains("adapter.alora.invocation_tokens"))
            throw FlintException.File("unsupported_adapter", $"{path}: the adapter sets in at invocation tokens (aLoRA), which is not supported.");
        var pairs = new LoraPairs(path);
        foreach (TensorInfo tensor in file.Tensors)
        {
            if (tensor.Name.EndsWith(SuffixA, StringComparison.Ordinal)) pairs.AddA(tensor.Name[..^SuffixA.Length], tensor);
            else if (tensor.Name.EndsWith(SuffixB, StringComparison.Ordinal)) pairs.AddB(tensor.Name[..^SuffixB.Length], tensor);
            else throw FlintException.File("unsupported_adapter", $"{path}: tensor {GgufReader.Quote(tensor.Name)} is neither A nor B of a low-rank pair.");
        }

        float alpha = file.Metadata.GetOr(AlphaKey, 0f);
        if (!float.IsFinite(alpha))
            throw FlintException.File("adapter_alpha", $"{path}: {AlphaKey} is {alpha}; expected a finite number.");
        // Without α, products count once.
        return pairs.ToAdapter(file.Metadata.Architecture, rank => alpha == 0 ? 1 : (double)alpha / rank);
    }

    public static void Save(LoraAdapter adapter, string path) => AtomicFile.Write(path, stream =>
    {
        using GgufWriter writer = new(stream);
        writer.Add("general.architecture", adapter.Architecture);
        writer.Add(TypeKey, "adapter");
        writer.Add("general.file_type", 0u);
        writer.Add(AdapterTypeKey, "lora");
        writer.Add(AlphaKey, adapter.Alpha);
        foreach (LoraMatrix matrix in adapter.Matrices)
        {
            writer.AddTensor(matrix.Tensor + SuffixA, WeightType.F32, matrix.Columns, matrix.Rank);
            writer.AddTensor(matrix.Tensor + SuffixB, WeightType.F32, matrix.Rank, matrix.Rows);
        }

        writer.WriteHeader();
        foreach (LoraMatrix matrix in adapter.Matrices)
        {
            writer.WriteData(MemoryMarshal.AsBytes<float>(matrix.A));
            writer.WriteData(MemoryMarshal.AsBytes<float>(matrix.B));
        }

        writer.Finish();
    });

    private static void Expect(GgufFile file, string key, string expected)
    {
        string found = file.Metadata.GetOr(key, "");
        if (found != expected)
            throw FlintException.File("not_an_adapter", $"{file.Path}: {key} is {GgufReader.Quote(found)}; expected \"{expected}\".");
    }
}
