using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// A low-rank adapter (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021): for some matrices W of a model,
/// A and B such that W·x becomes W·x + (α / rank)·B·(A·x). Kept in either of two layouts: a GGUF file as llama.cpp reads it, or a
/// folder as the PEFT library writes it (<c>adapter_config.json</c> and <c>adapter_model.safetensors</c>).
/// </summary>
public sealed class LoraAdapter
{
    /// <summary>The largest rank.</summary>
    public const int MaxRank = 1024;

    /// <summary>Makes an adapter.</summary>
    /// <param name="architecture">The model family it is for, as in <c>general.architecture</c>.</param>
    /// <param name="alpha">α, a finite number other than 0.</param>
    /// <param name="matrices">At least one, each for another tensor.</param>
    /// <exception cref="FlintException">Caller: a value is out of range, or two matrices are for one tensor.</exception>
    public LoraAdapter(string architecture, float alpha, IReadOnlyList<LoraMatrix> matrices)
    {
        if (!float.IsFinite(alpha) || alpha == 0)
            throw FlintException.Caller("adapter_alpha", $"An adapter's alpha is a finite number other than 0; found {alpha}.");
        if (matrices.Count == 0)
            throw FlintException.Caller("adapter_empty", "An adapter has at least one pair of A and B; found none.");
        HashSet<string> names = [];
        foreach (LoraMatrix matrix in matrices)
        {
            if (!names.Add(matrix.Tensor))
                throw FlintException.Caller("adapter_tensor_twice", $"An adapter has one pair of A and B for a tensor; found two for {matrix.Tensor}.");
        }
        Architecture = architecture;
        Alpha = alpha;
        Matrices = matrices;
    }

    /// <summary>The model family it is for.</summary>
    public string Architecture { get; }

    /// <summary>α: each product counts α / rank.</summary>
    public float Alpha { get; }

    /// <summary>The adapted matrices.</summary>
    public IReadOnlyList<LoraMatrix> Matrices { get; }

    /// <summary>Trained values.</summary>
    public long Parameters => Matrices.Sum(m => (long)m.A.Length + m.B.Length);

    /// <summary>Reads an adapter and checks that it fits a model.</summary>
    /// <param name="path">A GGUF file, or a PEFT folder (or the safetensors file in it).</param>
    /// <param name="model">The model it is for.</param>
    /// <exception cref="FlintException">
    /// No such file (caller), a damaged one, one that holds more than low-rank pairs, or one for another model (model file).
    /// </exception>
    public static LoraAdapter Load(string path, GgufFile model)
    {
        LoraAdapter adapter;
        if (Directory.Exists(path)) adapter = PeftFolder.Load(path, model);
        else if (path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)) adapter = PeftFolder.Load(Path.GetDirectoryName(Path.GetFullPath(path))!, model);
        else adapter = LoraGguf.Load(path);
        adapter.CheckFits(model, path);
        return adapter;
    }

    /// <summary>Writes the GGUF layout, which llama.cpp loads too. The file appears when it is whole.</summary>
    /// <exception cref="FlintException">Machine: it cannot be written.</exception>
    public void SaveGguf(string path) => LoraGguf.Save(this, path);

    /// <summary>Writes the PEFT layout, with the tensor names that the model has on the Hugging Face hub.</summary>
    /// <param name="folder">The folder; made where it is absent.</param>
    /// <param name="model">The model it is for, which knows how its rows were reordered.</param>
    /// <exception cref="FlintException">Machine: it cannot be written. Model file: it does not fit the model.</exception>
    public void SavePeft(string folder, GgufFile model)
    {
        CheckFits(model, folder);
        PeftFolder.Save(this, folder, model);
    }

    /// <summary>Checks that every adapted matrix is in the model and of the same shape.</summary>
    internal void CheckFits(GgufFile model, string path)
    {
        string family = model.Metadata.Architecture;
        if (Architecture != family)
            throw FlintException.File("adapter_mismatch", $"{path}: the adapter is for a model of architecture \"{Architecture}\"; {model.Path} is \"{family}\".");
        Dictionary<string, DecoderTensor> known = DecoderTensors.Of(Family.Configure(model), tied: !model.Tensors.TryGet(DecoderTensors.Head, out _))
            .Where(t => !t.IsVector && t.Name != DecoderTensors.Embedding).ToDictionary(t => t.Name);
        foreach (LoraMatrix matrix in Matrices)
        {
            if (!known.TryGetValue(matrix.Tensor, out DecoderTensor tensor))
                throw FlintException.File("adapter_mismatch", $"{path}: the adapter changes tensor {GgufReader.Quote(matrix.Tensor)}, which is not a matrix of {model.Path} that can be adapted.");
            if (tensor.Columns != matrix.Columns || tensor.Rows != matrix.Rows)
            {
                throw FlintException.File("adapter_mismatch",
                    $"{path}: tensor {matrix.Tensor}: the adapter is for [{matrix.Columns}, {matrix.Rows}]; in {model.Path} it is [{tensor.Columns}, {tensor.Rows}].");
            }
        }
    }

}
