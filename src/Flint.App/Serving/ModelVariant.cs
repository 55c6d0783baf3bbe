using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Flint.Models;

namespace Flint.App.Serving;

/// <summary>A served model as requests name it: itself, or with one of its adapters (<c>MODEL:ADAPTER</c>).</summary>
public sealed class ModelVariant
{
    internal ModelVariant(ServedModel model)
    {
        Model = model;
        Name = model.Name;
        Fingerprint = model.Fingerprint;
        Created = model.Created;
    }

    internal ModelVariant(ServedModel model, AdapterSource source, LoraAdapter adapter, ModelAdapter loaded)
    {
        Model = model;
        Adapter = loaded;
        Name = $"{model.Name}:{source.Name}";
        Fingerprint = $"{model.Fingerprint}_{Digest(adapter)}";
        Created = File.GetLastWriteTimeUtc(source.Path);
    }

    /// <summary>The model.</summary>
    public ServedModel Model { get; }

    /// <summary>The adapter; null for the model itself.</summary>
    public ModelAdapter? Adapter { get; }

    /// <summary>Its name in the API.</summary>
    public string Name { get; }

    /// <summary>Names the weights, those of the adapter included.</summary>
    public string Fingerprint { get; }

    /// <summary>When its file was written.</summary>
    public DateTimeOffset Created { get; }

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
