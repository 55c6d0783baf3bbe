using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Flint.Models;

namespace Flint.App.Serving;

/// <summary>A served model as requests name it: itself, or with one of its adapters (<c>MODEL:ADAPTER</c>).</summary>
public sealed class ModelVariant : NamedModel
{
    internal ModelVariant(ServedModel model)
        : base(model.Name, model.Fingerprint, model.Created) => Model = model;

    internal ModelVariant(ServedModel model, AdapterSource source, LoraAdapter adapter, ModelAdapter loaded)
        : base($"{model.Name}:{source.Name}", $"{model.Fingerprint}_{Digest(adapter)}", File.GetLastWriteTimeUtc(source.Path))
    {
        Model = model;
        Adapter = loaded;
    }

    /// <summary>The model.</summary>
    public ServedModel Model { get; }

    /// <summary>The adapter; null for the model itself.</summary>
    public ModelAdapter? Adapter { get; }

    /// <inheritdoc/>
    public override int? ContextLength => Model.ContextLength;

    /// <inheritdoc/>
    public override string? Parent => Adapter is null ? null : Model.Name;

    private static string Digest(LoraAdapter adapter)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(BitConverter.GetBytes(adapter.Alpha));
        foreach (LoraMatrix matrix in adapter.Matrices)
        {
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes(matrix.Tensor));
            hash.AppendData(MemoryMarshal.AsBytes<float>(matrix.A));
            hash.AppendData(MemoryMarshal.AsBytes<float>(matrix.B));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..12];
    }
}
