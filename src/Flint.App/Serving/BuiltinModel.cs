using System.Security.Cryptography;

namespace Flint.App.Serving;

/// <summary>
/// The model that comes inside the program, flint-nano. Models are mapped into memory from files, so it is unpacked once into
/// Flint's own folder, under the digest of its contents.
/// </summary>
public static class BuiltinModel
{
    /// <summary>Its name, on the command line and in the API.</summary>
    public const string Name = "flint-nano";

    private const string FileName = Name + ".gguf";

    /// <summary>Whether this build holds it.</summary>
    public static bool Exists => typeof(BuiltinModel).Assembly.GetManifestResourceInfo(FileName) is not null;

    /// <summary>Its file, unpacked if it is not there yet.</summary>
    /// <exception cref="FlintException">Caller: this build holds none. Machine: it cannot be written.</exception>
    public static string Unpack()
    {
        using Stream content = typeof(BuiltinModel).Assembly.GetManifestResourceStream(FileName)
            ?? throw FlintException.Caller("no_builtin_model", "No model is named, and this build holds none of its own; name a .gguf file, or OWNER/REPO[:QUANT] of a pulled model.");
        string path = Unpack(content, Path.Combine(ModelLocator.Home, "models", "builtin"));
        using Stream? calibration = typeof(BuiltinModel).Assembly.GetManifestResourceStream(Name + CalibrationFile.Suffix);
        if (calibration is not null)
            Refresh(calibration, Path.ChangeExtension(path, null) + CalibrationFile.Suffix);
        return path;
    }

    /// <summary>Writes a file unless it holds the same already.</summary>
    private static void Refresh(Stream content, string path)
    {
        var bytes = new byte[content.Length];
        content.ReadExactly(bytes);
        if (File.Exists(path) && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes)) return;
        string partial = $"{path}.{Environment.ProcessId}.partial";
        try
        {
            File.WriteAllBytes(partial, bytes);
            File.Move(partial, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{path}: the calibration that comes with Flint cannot be unpacked: {e.Message}", e);
        }
    }

    internal static string Unpack(Stream content, string folder)
    {
        string digest = Convert.ToHexStringLower(SHA256.HashData(content));
        string path = Path.Combine(folder, digest[..16], FileName), partial = $"{path}.{Environment.ProcessId}.partial";
        try
        {
            // A file of the right name may still hold something else: that one is replaced.
            if (Holds(path, digest)) return path;
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            content.Position = 0;
            using (FileStream file = File.Create(partial)) content.CopyTo(file);
            File.Move(partial, path, overwrite: true);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{path}: the model that comes with Flint cannot be unpacked: {e.Message} ({ModelLocator.HomeVariable} names another folder)", e);
        }
    }

    private static bool Holds(string path, string digest)
    {
        if (!File.Exists(path)) return false;
        using FileStream file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file)) == digest;
    }
}
