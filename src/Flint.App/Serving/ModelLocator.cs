using System.Text.RegularExpressions;

namespace Flint.App.Serving;

/// <summary>Turns what a person writes for a model into a file: a path, or <c>OWNER/REPO[:QUANT]</c> of a pulled model.</summary>
public static partial class ModelLocator
{
    /// <summary>The environment variable that moves Flint's folder away from <c>~/.flint</c>.</summary>
    public const string HomeVariable = "FLINT_HOME";

    /// <summary>Flint's own folder: <c>$FLINT_HOME</c>, else <c>.flint</c> in the user's home.</summary>
    public static string Home => Environment.GetEnvironmentVariable(HomeVariable) is { Length: > 0 } home
        ? Path.GetFullPath(home)
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".flint");

    /// <summary>The folder of one pulled repository.</summary>
    public static string Folder(string repository) => Path.Combine([Home, "models", .. repository.Split('/')]);

    /// <summary>Splits <c>OWNER/REPO[:QUANT]</c>.</summary>
    /// <returns>False when <paramref name="text"/> is not of that form.</returns>
    public static bool TryParse(string text, out string repository, out string? quantization)
    {
        Match match = Reference().Match(text);
        repository = match.Groups[1].Value;
        quantization = match.Groups[2].Success ? match.Groups[2].Value : null;
        return match.Success && !repository.Split('/').Any(part => part.Trim('.').Length == 0);
    }

    /// <summary>The file of a model; of a split model, its first shard.</summary>
    /// <param name="model">
    /// A path to a <c>.gguf</c> file or to a folder that holds one model, or <c>OWNER/REPO[:QUANT]</c>; null, or
    /// <see cref="BuiltinModel.Name"/> where there is no such file, is the model that comes with Flint.
    /// </param>
    /// <exception cref="FlintException">Caller: neither a file nor a pulled model; the message says how to pull it.</exception>
    public static string Find(string? model)
    {
        if (File.Exists(model)) return model;
        if (model is null || (model == BuiltinModel.Name && !Directory.Exists(model))) return BuiltinModel.Unpack();
        if (Directory.Exists(model)) return Path.Combine(model, ModelFiles.Choose(model, FilesIn(model), null)[0]);
        if (!TryParse(model, out string repository, out string? quantization) || repository.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
            throw FlintException.Caller("model_not_found", $"no such model file: {model}");

        string folder = Folder(repository);
        if (!Directory.Exists(folder))
            throw FlintException.Caller("model_not_found", $"{model} is neither a file nor a pulled model; to fetch it: flint pull {model}");
        try
        {
            return Path.Combine(folder, ModelFiles.Choose(repository, FilesIn(folder), quantization)[0]);
        }
        catch (FlintException fault) when (fault.Code is "model_not_found" or "model_incomplete")
        {
            throw FlintException.Caller(fault.Code, $"{fault.Message} (in {folder}); to fetch it: flint pull {model}");
        }
    }

    private static IEnumerable<string> FilesIn(string folder) =>
        Directory.EnumerateFiles(folder, "*.gguf", SearchOption.AllDirectories)
            .Select(p => Path.GetRelativePath(folder, p).Replace(Path.DirectorySeparatorChar, '/'));

    [GeneratedRegex(@"^([A-Za-z0-9._-]{1,96}/[A-Za-z0-9._-]{1,96})(?::([A-Za-z0-9._/-]{1,200}))?$")]
    private static partial Regex Reference();
}
