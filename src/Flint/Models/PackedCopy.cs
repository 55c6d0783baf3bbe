using System.Security.Cryptography;
using System.Text;
using Flint.Formats;
using Flint.Kernels;
using Flint.Memory;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// A model's matrices as the kernels read them, in a file beside the model's own: mapped where a model is loaded, instead of packed
/// anew. A GGUF file of byte tensors. It names the state of the model it was made from, and is passed over in any other.
/// </summary>
public sealed unsafe class PackedCopy : IDisposable
{
    /// <summary>What its name adds to the model's.</summary>
    public const string Extension = ".packed";

    private const string Architecture = "flint-packed";
    private const string SourceKey = "flint-packed.source";
    private const int PageBytes = 4096;
    private const int ProbeBytes = 64;

    private readonly GgufFile _file;

    private PackedCopy(GgufFile file) => _file = file;

    /// <summary>Where a model's packed copy is.</summary>
    public static string PathOf(GgufFile model) => model.Path + Extension;

    /// <summary>Opens the packed copy of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="passedOver">Why a copy that is there is not used; null where there is none, or it is used.</param>
    /// <returns>Null where there is none, or it is of another state of the model, or not of this program's layout, or damaged.</returns>
    public static PackedCopy? Find(GgufFile model, out string? passedOver)
    {
        string path = PathOf(model);
        passedOver = null;
        if (!File.Exists(path)) return null;
        try
        {
            GgufFile file = GgufFile.Open(path);
            if (file.Metadata.GetOr<string?>(SourceKey, null) == StateOf(model)) return new PackedCopy(file);
            file.Dispose();
            passedOver = $"{path} is of another state of the model";
        }
        catch (FlintException e)
        {
            passedOver = e.Message;
        }

        return null;
    }

    /// <summary>Packs a model's matrices one by one and writes them beside it; a copy that is there is replaced.</summary>
    /// <param name="model">A GGUF file of a family that can be run.</param>
    /// <param name="threads">Threads that pack; 0 for one per processor.</param>
    /// <param name="progress">Told the matrices written and all there are.</param>
    /// <returns>The file's path.</returns>
    /// <exception cref="FlintException">ModelFile: the model is not supported, or damaged. Machine: the file cannot be written.</exception>
    public static string Write(string model, int threads, Action<int, int>? progress = null)
    {
        using GgufFile file = GgufFile.Open(model);
        Family.Configure(file);
        TensorInfo[] matrices = [.. Matrices(file)];
        using var team = new Team(threads);
        string path = PathOf(file);
        AtomicFile.Write(path, stream =>
        {
            using var writer = new GgufWriter(stream, PageBytes);
            writer.Add("general.architecture", Architecture);
            writer.Add(SourceKey, StateOf(file));
            foreach (TensorInfo info in matrices) writer.AddTensor(info.Name, WeightType.I8, PackedMatrix.PackedBytes(info.Type, RowsOf(info), info.Shape[0]));
            writer.WriteHeader();
            for (int i = 0; i < matrices.Length; i++)
            {
                using PackedMatrix packed = PackedMatrix.Pack(team, matrices[i].Type, matrices[i].Data, checked((int)RowsOf(matrices[i])), checked((int)matrices[i].Shape[0]));
                writer.WriteData(packed.Data, packed.Bytes);
                progress?.Invoke(i + 1, matrices.Length);
            }
        });
        return path;
    }

    /// <summary>Unmaps it. Matrices taken from it must not be used afterwards.</summary>
    public void Dispose() => _file.Dispose();

    /// <summary>The tensors that are computed with as matrices: not the embedding, unless it is the head too.</summary>
    internal static IEnumerable<TensorInfo> Matrices(GgufFile file)
    {
        bool tied = !file.Tensors.TryGet(DecoderTensors.Head, out _);
        return file.Tensors.Where(t => t.Shape.Length is 2 or 3 && (tied || t.Name != DecoderTensors.Embedding));
    }

    /// <summary>Outputs of a matrix; of all matrices of a tensor of experts.</summary>
    internal static long RowsOf(TensorInfo info) => info.Shape[1] * (info.Shape.Length == 3 ? info.Shape[2] : 1);

    /// <summary>A matrix of the copy; null where it has none of this size.</summary>
    internal PackedMatrix? Matrix(TensorInfo info, int rows, int columns) =>
        _file.Tensors.TryGet(info.Name, out TensorInfo? found) && found.Type == WeightType.I8 && found.Bytes == PackedMatrix.PackedBytes(info.Type, rows, columns)
            ? PackedMatrix.Over(info.Type, found.Data, rows, columns)
            : null;

    /// <summary>
    /// Tells states of a model apart: the layout of packed matrices, the files' sizes and times, and every tensor's name, type, shape
    /// and first and last bytes.
    /// </summary>
    private static string StateOf(GgufFile model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string text) => hash.AppendData(Encoding.UTF8.GetBytes(text + "\n"));
        Add(FormattableString.Invariant($"{PackedMatrix.Layout}"));
        foreach (string shard in model.Tensors.Select(t => t.File).Distinct())
        {
            var info = new FileInfo(shard);
            Add(FormattableString.Invariant($"{info.Length} {info.LastWriteTimeUtc.Ticks}"));
        }

        foreach (TensorInfo tensor in model.Tensors)
        {
            Add(tensor.ToString());
            int probe = (int)Math.Min(ProbeBytes, tensor.Bytes);
            hash.AppendData(new ReadOnlySpan<byte>(tensor.Data, probe));
            hash.AppendData(new ReadOnlySpan<byte>(tensor.Data + tensor.Bytes - probe, probe));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
