using System.Text.RegularExpressions;

namespace Flint.App.Serving;

/// <summary>Picks the model of one quantization out of a repository's file names: on the hub and on disk alike.</summary>
public static partial class ModelFiles
{
    /// <summary>The quantization taken when none is named and the repository has several.</summary>
    public const string DefaultQuantization = "Q4_K_M";

    /// <summary>Finds the files of one model among <paramref name="paths"/>: one file, or every shard of a split one, in order.</summary>
    /// <param name="repository">The repository, for messages.</param>
    /// <param name="paths">Paths inside the repository, with forward slashes; anything but <c>.gguf</c> models is passed over.</param>
    /// <param name="quantization">Such as <c>Q4_K_M</c>, or a file name, or null for the usual one.</param>
    /// <exception cref="FlintException">Caller: no model, none of that quantization, several, or a shard is missing.</exception>
    public static IReadOnlyList<string> Choose(string repository, IEnumerable<string> paths, string? quantization)
    {
        var models = paths.Where(IsModel).GroupBy(Stem, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal).ToList();
        if (models.Count == 0)
            throw FlintException.Caller("model_not_found", $"{repository} holds no .gguf model");

        var chosen = models;
        if (quantization is not null)
            chosen = Best(models, quantization);
        else if (models.Count > 1)
            chosen = Best(models, DefaultQuantization);

        string names = string.Join(", ", models.Select(g => Label(g.Key)).Distinct(StringComparer.Ordinal));
        if (chosen.Count == 0)
        {
            throw FlintException.Caller("model_not_found", quantization is null
                ? $"{repository} holds several models; name one as {repository}:QUANT, QUANT being one of: {names}"
                : $"{repository} holds no model of quantization {quantization}; it holds: {names}");
        }
        if (chosen.Count > 1)
        {
            throw FlintException.Caller("model_ambiguous",
                $"{repository}:{quantization ?? DefaultQuantization} fits several models; name one file: {string.Join(", ", chosen.Select(g => g.Key + ".gguf"))}");
        }
        return AllShards(repository, [.. chosen[0].Order(StringComparer.Ordinal)]);
    }

    /// <summary>Whether a path names the weights of a language model, not a projector or an importance matrix.</summary>
    public static bool IsModel(string path)
    {
        string name = path[(path.LastIndexOf('/') + 1)..];
        return name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)
            && !name.StartsWith("mmproj", StringComparison.OrdinalIgnoreCase)
            && !name.Contains("imatrix", StringComparison.OrdinalIgnoreCase);
    }

    private static List<IGrouping<string, string>> Best(List<IGrouping<string, string>> models, string quantization)
    {
        string wanted = quantization.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? quantization[..^5] : quantization;
        wanted = Shard().Replace(wanted, "");
        // Narrowest reading first: the whole name, then the end of the name, then a word anywhere in the path.
        string word = $"(?<![A-Za-z0-9_]){Regex.Escape(wanted)}";
        foreach (string pattern in new[] { $"(^|/){Regex.Escape(wanted)}$", $"^(?!.*(^|[/-])UD-).*{word}$", $"{word}$", $"{word}(?![A-Za-z0-9_])" })
        {
            var found = models.Where(g => Regex.IsMatch(g.Key, pattern, RegexOptions.IgnoreCase)).ToList();
            if (found.Count > 0) return found;
        }
        return [];
    }

    private static List<string> AllShards(string repository, List<string> files)
    {
        Match shard = Shard().Match(Path.ChangeExtension(files[0], null));
        if (!shard.Success) return files;
        int count = int.Parse(shard.Groups[2].Value);
        var present = files.Select(f => int.Parse(Shard().Match(Path.ChangeExtension(f, null)).Groups[1].Value)).ToHashSet();
        for (int i = 1; i <= count; i++)
        {
            if (!present.Contains(i))
                throw FlintException.Caller("model_incomplete", $"{repository}: shard {i} of {count} of {Stem(files[0])} is missing");
        }
        return files;
    }

    /// <summary>The path without <c>.gguf</c> and without a shard's number: the same for all shards of one model.</summary>
    private static string Stem(string path) => Shard().Replace(path[..^5], "");

    /// <summary>The quantization a path names, or its file name where it names none.</summary>
    private static string Label(string stem) =>
        Quantization().Matches(stem) is { Count: > 0 } found ? found[^1].Value : stem[(stem.LastIndexOf('/') + 1)..] + ".gguf";

    [GeneratedRegex(@"-(\d{5})-of-(\d{5})$")]
    private static partial Regex Shard();

    [GeneratedRegex(@"(?<![A-Za-z0-9_])(UD-)?(I?Q\d(_[A-Z0-9]+)*|TQ\d_\d|BF16|FP16|FP32|F16|F32|MXFP4(_\w+)?|NVFP4)(?![A-Za-z0-9_])", RegexOptions.IgnoreCase)]
    private static partial Regex Quantization();
}
