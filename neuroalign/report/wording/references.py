"""The papers that a methods paragraph may cite, by how it names them."""

from __future__ import annotations

REFERENCES = {
    "Abraham 2014": "Abraham, A. et al. (2014). Machine learning for neuroimaging with scikit-learn. "
    "Frontiers in Neuroinformatics 8:14. doi:10.3389/fninf.2014.00014 (nilearn)",
    "Allen 2022": "Allen, E. J. et al. (2022). A massive 7T fMRI dataset to bridge cognitive neuroscience "
    "and artificial intelligence. Nature Neuroscience 25:116–126. doi:10.1038/s41593-021-00962-x",
    "Appelhoff 2019": "Appelhoff, S. et al. (2019). MNE-BIDS: organizing electrophysiological data into the "
    "BIDS format and facilitating their analysis. Journal of Open Source Software 4:1896. "
    "doi:10.21105/joss.01896",
    "Benjamini & Hochberg 1995": "Benjamini, Y. & Hochberg, Y. (1995). Controlling the false discovery "
    "rate: a practical and powerful approach to multiple testing. Journal of the Royal Statistical "
    "Society B 57:289–300. doi:10.1111/j.2517-6161.1995.tb02031.x",
    "Beliy 2024": "Beliy, R. et al. (2024). The wisdom of a crowd of brains: a universal brain encoder. "
    "arXiv:2406.12179",
    "Breiman 1996": "Breiman, L. (1996). Stacked regressions. Machine Learning 24:49–64. "
    "doi:10.1007/BF00117832",
    "Borcard 1992": "Borcard, D., Legendre, P. & Drapeau, P. (1992). Partialling out the spatial component "
    "of ecological variation. Ecology 73:1045–1055. doi:10.2307/1940179",
    "Crosse 2016": "Crosse, M. J., Di Liberto, G. M., Bednar, A. & Lalor, E. C. (2016). The multivariate "
    "temporal response function (mTRF) toolbox. Frontiers in Human Neuroscience 10:604. "
    "doi:10.3389/fnhum.2016.00604",
    "Dupré la Tour 2022": "Dupré la Tour, T. et al. (2022). Feature-space selection with banded ridge "
    "regression. NeuroImage 264:119728. doi:10.1016/j.neuroimage.2022.119728",
    "Glover 1999": "Glover, G. H. (1999). Deconvolution of impulse response in event-related BOLD fMRI. "
    "NeuroImage 9:416–429. doi:10.1006/nimg.1998.0419",
    "Gorgolewski 2016": "Gorgolewski, K. J. et al. (2016). The brain imaging data structure, a format for "
    "organizing and describing outputs of neuroimaging experiments. Scientific Data 3:160044. "
    "doi:10.1038/sdata.2016.44",
    "Gramfort 2013": "Gramfort, A. et al. (2013). MEG and EEG data analysis with MNE-Python. Frontiers in "
    "Neuroscience 7:267. doi:10.3389/fnins.2013.00267",
    "Harris 2020": "Harris, C. R. et al. (2020). Array programming with NumPy. Nature 585:357–362. "
    "doi:10.1038/s41586-020-2649-2",
    "Hoerl & Kennard 1970": "Hoerl, A. E. & Kennard, R. W. (1970). Ridge regression: biased estimation "
    "for nonorthogonal problems. Technometrics 12:55–67. doi:10.1080/00401706.1970.10488634",
    "Holdgraf 2019": "Holdgraf, C. et al. (2019). iEEG-BIDS, extending the Brain Imaging Data Structure "
    "specification to human intracranial electrophysiology. Scientific Data 6:102. "
    "doi:10.1038/s41597-019-0105-7",
    "Huth 2016": "Huth, A. G. et al. (2016). Natural speech reveals the semantic maps that tile human "
    "cerebral cortex. Nature 532:453–458. doi:10.1038/nature17637",
    "Kiesel 2008": "Kiesel, A., Miller, J., Jolicœur, P. & Brisson, B. (2008). Measurement of ERP latency "
    "differences: a comparison of single-participant and jackknife-based scoring methods. "
    "Psychophysiology 45:250–274. doi:10.1111/j.1469-8986.2007.00618.x",
    "King & Dehaene 2014": "King, J.-R. & Dehaene, S. (2014). Characterizing the dynamics of mental "
    "representations: the temporal generalization method. Trends in Cognitive Sciences 18:203–210. "
    "doi:10.1016/j.tics.2014.01.002",
    "Lage-Castellanos 2019": "Lage-Castellanos, A. et al. (2019). Methods for computing the maximum "
    "performance of computational models of fMRI responses. PLoS Computational Biology 15:e1006397. "
    "doi:10.1371/journal.pcbi.1006397",
    "Lescroart 2015": "Lescroart, M. D., Stansbury, D. E. & Gallant, J. L. (2015). Fourier power, subjective "
    "distance, and object categories all provide plausible models of BOLD responses in scene-selective "
    "visual areas. Frontiers in Computational Neuroscience 9:135. doi:10.3389/fncom.2015.00135",
    "Li 2006": "Li, P., Hastie, T. J. & Church, K. W. (2006). Very sparse random projections. "
    "Proceedings of the 12th ACM SIGKDD Conference, 287–296. doi:10.1145/1150402.1150436",
    "Maris & Oostenveld 2007": "Maris, E. & Oostenveld, R. (2007). Nonparametric statistical testing of EEG- "
    "and MEG-data. Journal of Neuroscience Methods 164:177–190. doi:10.1016/j.jneumeth.2007.03.024",
    "Nichols & Holmes 2002": "Nichols, T. E. & Holmes, A. P. (2002). Nonparametric permutation tests for "
    "functional neuroimaging: a primer with examples. Human Brain Mapping 15:1–25. doi:10.1002/hbm.1058",
    "Nili 2014": "Nili, H. et al. (2014). A toolbox for representational similarity analysis. "
    "PLoS Computational Biology 10:e1003553. doi:10.1371/journal.pcbi.1003553",
    "Niso 2018": "Niso, G. et al. (2018). MEG-BIDS, the brain imaging data structure extended to "
    "magnetoencephalography. Scientific Data 5:180110. doi:10.1038/sdata.2018.110",
    "Nishimoto 2011": "Nishimoto, S. et al. (2011). Reconstructing visual experiences from brain activity "
    "evoked by natural movies. Current Biology 21:1641–1646. doi:10.1016/j.cub.2011.08.031",
    "Nunez-Elizalde 2019": "Nunez-Elizalde, A. O., Huth, A. G. & Gallant, J. L. (2019). Voxelwise encoding "
    "models with non-spherical multivariate normal priors. NeuroImage 197:482–492. "
    "doi:10.1016/j.neuroimage.2019.04.012",
    "Pernet 2019": "Pernet, C. R. et al. (2019). EEG-BIDS, an extension to the brain imaging data structure "
    "for electroencephalography. Scientific Data 6:103. doi:10.1038/s41597-019-0104-8",
    "Sahani & Linden 2003": "Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? "
    "Advances in Neural Information Processing Systems 15:125–132.",
    "Smith & Nichols 2009": "Smith, S. M. & Nichols, T. E. (2009). Threshold-free cluster enhancement: "
    "addressing problems of smoothing, threshold dependence and localisation in cluster inference. "
    "NeuroImage 44:83–98. doi:10.1016/j.neuroimage.2008.03.061",
    "Wolf 2020": "Wolf, T. et al. (2020). Transformers: state-of-the-art natural language processing. "
    "EMNLP: System Demonstrations, 38–45. doi:10.18653/v1/2020.emnlp-demos.6",
}
